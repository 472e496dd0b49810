// The forward kernel before warp specialisation: TMA and wgmma, but every warp does everything in
// step. One block per tile; thread 0 asks for the next K and V while all warps work on this one,
// and __syncthreads parts the tiles. The lowest wgmma rung of the ladder.
#pragma once
#include "kernels/hopper/forward/consume.cuh"
#include "kernels/hopper/forward/schedule.cuh"
#include "kernels/hopper/registers.cuh"

namespace kvroof::kernels::flash_v3 {

template <class Tile, bool kCausal>
__global__ void __launch_bounds__(128 * Tile::kWarpgroups, 1)
    together(const __grid_constant__ Params p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) std::uint8_t raw[];
  auto& smem = *reinterpret_cast<Smem<Tile>*>(raw);
  const bool loads = threadIdx.x == 0;
  if (loads) {
    smem.q_full[0].init(1);
    for (int i = 0; i < 2; ++i) smem.k_full[i].init(1), smem.v_full[i].init(1);
    fence_barrier_init();
  }
  __syncthreads();
  const Place at = place<Tile, kCausal>(p, static_cast<int>(blockIdx.x));
  const int h_kv = at.h / p.group;
  const auto load = [&](int j) {
    smem.k_full[j % 2].arrive_expect(sizeof smem.k[0]);
    load_tile(smem.k[j % 2], p.k, smem.k_full[j % 2], j * Tile::kKeys, h_kv, at.b);
    smem.v_full[j % 2].arrive_expect(sizeof smem.v[0]);
    load_tile(smem.v[j % 2], p.v, smem.v_full[j % 2], j * Tile::kKeys, h_kv, at.b);
  };
  if (loads) {
    smem.q_full[0].arrive_expect(sizeof smem.q[0]);
    load_tile(smem.q[0], p.q, smem.q_full[0], at.row, at.h, at.b);
    load(0);
  }

  const int warpgroup = warpgroup_index();
  const std::uint32_t base = __shfl_sync(0xFFFFFFFF, shared_address(&smem), 0);
  using S = Smem<Tile>;
  const Descriptor q0 = k_major(base + offsetof(S, q) + 64 * warpgroup * 128);
  const Descriptor k0 = k_major(base + offsetof(S, k));
  const Descriptor v0 = mn_major(base + offsetof(S, v), Tile::kKeys);
  const int row = at.row + 64 * warpgroup + fragment_row();
  const float scale_log2 = p.scale * 1.4426950408889634f;
  float s[Tile::kKeys / 2], o[Tile::kDv / 2] = {};
  std::uint32_t probabilities[Tile::kOperandRegisters];
  Softmax<Tile> softmax;

  smem.q_full[0].wait(0);
  for (int j = 0; j < at.key_tiles; ++j) {
    const auto parity = static_cast<std::uint32_t>(j / 2 % 2);
    if (loads && j + 1 < at.key_tiles) load(j + 1);
    smem.k_full[j % 2].wait(parity);
    issue_scores<Tile>(s, q0, k0 + j % 2 * static_cast<int>(sizeof smem.k[0]));
    wgmma::wait<0>();
    wgmma::pin(s);
    if (j >= at.first_masked) mask_tile<Tile, kCausal>(s, p, row, j);
    softmax.template update<true>(s, {scale_log2});
    pack<Tile>(probabilities, s);
    softmax.rescale(o);
    smem.v_full[j % 2].wait(parity);
    issue_output<Tile>(o, probabilities, v0 + j % 2 * static_cast<int>(sizeof smem.v[0]));
    wgmma::wait<0>();
    wgmma::pin(o);
    __syncthreads();  // nobody reads this K and V any more
  }
  store_output<Tile>(p, at, row, o, softmax, 1.f);
#endif
}

}  // namespace kvroof::kernels::flash_v3
