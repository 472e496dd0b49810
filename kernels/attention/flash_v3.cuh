// FlashAttention-3 forward on Hopper, 16-bit.              model: model/attention/flash_v3.cpp
//   S = scale · Q · K^T      P = softmax(S) by rows      O = P · V      LSE = log sum exp S
//   q [b, h_q, s_q, kDqk]   k [b, h_kv, s_kv, kDqk]   v [b, h_kv, s_kv, kDv]   o [b, h_q, s_q, kDv]
//   lse [b, h_q, s_q] fp32, optional
//   fp32 accumulation; causal: query i sees keys <= i + s_kv - s_q
// Shah et al., FlashAttention-3 (arXiv:2407.08608), Algorithms 1 and 2.
//
// Who does what: one block per SM stays resident and takes tiles of kRows queries of one head,
// longest first. One thread of the producer warpgroup feeds Q, K and V through TMA into rings of
// shared memory; each consumer warpgroup owns 64 query rows, whose S, P and O live in its
// registers. The h_q / h_kv heads of a group read the same K/V tiles, one after another, out of L2.
//
// What overlaps: named barriers let one warpgroup issue its products, S_j = Q·K_j and
// O += P_{j-1}·V_{j-1}, while the other is in its softmax (ping_pong). `overlap` also runs O += P·V
// under the softmax of the same warpgroup; on an H200 that costs 4 %
// (reports/h200-sxm-141gb/ladder.csv), because packing P and rescaling O then follow the
// exponentials instead of hiding under them, and FMA instructions displace wgmma; so it is off.
// Keys are walked from the first to the last, so that blocks that start together read the same
// tiles together; masked tiles come last, and the loop over the others carries no mask.
//
// Reads: Q once, K and V once per query tile (L2 serves the repeats). Writes: O and LSE once.
#pragma once
#include <algorithm>

#include "kernels/attention/flash_v3.hpp"
#include "kernels/hopper/forward/consume.cuh"
#include "kernels/hopper/forward/produce.cuh"
#include "kernels/hopper/forward/together.cuh"
#include "kernels/hopper/registers.cuh"

namespace kvroof::kernels::flash_v3 {

template <class Tile, bool kCausal>
__global__ void __launch_bounds__(Tile::kThreads, 1) kernel(const __grid_constant__ Params p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL  // wgmma and setmaxnreg exist on sm_90a alone
  extern __shared__ __align__(1024) std::uint8_t raw[];
  auto& smem = *reinterpret_cast<Smem<Tile>*>(raw);
  if (shared_address(raw) % 1024 != 0) __trap();  // swizzled tiles need it
  constexpr int kConsumerWarps = 4 * Tile::kWarpgroups;
  if (threadIdx.x == 0) {
    for (int i = 0; i < Tile::kQStages; ++i)
      smem.q_full[i].init(1), smem.q_free[i].init(32 * kConsumerWarps);
    for (int i = 0; i < Tile::kStages; ++i) {
      smem.k_full[i].init(1), smem.k_free[i].init(kConsumerWarps);
      smem.v_full[i].init(1), smem.v_free[i].init(kConsumerWarps);
    }
    fence_barrier_init();
  }
  __syncthreads();
  const int warpgroup = warpgroup_index();
  if (warpgroup == 0) {
    give_back_registers<Tile::kProducerRegisters>();
    if (threadIdx.x == 0) produce<Tile, kCausal>(smem, p);
  } else {
    take_registers<Tile::kConsumerRegisters>();
    consume<Tile, kCausal>(smem, p, warpgroup - 1);
  }
#endif
}

template <class Tile, bool kCausal>
void launch(const Call& c, cudaStream_t stream) {
  using T = typename Tile::T;
  const Shape& x = c.shape;
  constexpr auto kType = Tile::kFp8                  ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                         : std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                     : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const auto tensor = [&](const Tensor& t, int h, int s, int d) {
    return Tensor4{t.data, x.b, h, s, d, t.stride_b, t.stride_h, t.stride_s};
  };
  const auto map = [&](const Tensor& t, int h, int s, int d, int rows) {
    return tile_map(tensor(t, h, s, d), kType, sizeof(T), rows);
  };
  const auto map_v = [&] {
    if constexpr (Tile::kFp8)  // [b, h_kv, d_v, keys]
      return tile_map(tensor(c.v, x.h_kv, x.d_v, static_cast<int>(c.v.stride_s)), kType, 1,
                      Tile::kDv, Tile::kKeys, Tile::kVSpan);
    else return map(c.v, x.h_kv, x.s_kv, x.d_v, Tile::kKeys);
  };
  Params p{.q = map(c.q, x.h_q, x.s_q, x.d_qk, Tile::kRows),
           .k = map(c.k, x.h_kv, x.s_kv, x.d_qk, Tile::kKeys),
           .v = map_v(),
           .o = c.o.data,
           .lse = c.lse,
           .o_stride_b = c.o.stride_b,
           .o_stride_h = c.o.stride_h,
           .o_stride_s = c.o.stride_s,
           .s_q = x.s_q,
           .s_kv = x.s_kv,
           .h_q = x.h_q,
           .group = x.h_q / x.h_kv,
           .scale = c.scale,
           .q_scale = c.q_scale,
           .k_scale = c.k_scale,
           .v_scale = c.v_scale,
           .q_tiles = (x.s_q + Tile::kRows - 1) / Tile::kRows,
           .heads = x.b * x.h_q,
           .longest_first = c.longest_first,
           .ticket = c.ticket,
           .key_scales = c.key_scales,
           .q_blocks = (x.s_q + 63) / 64,
           .key_blocks = (x.s_kv + Tile::kKeys - 1) / Tile::kKeys};
  p.section = section_heads(x, sizeof(T), c.l2_share);

  int device = 0, num_sms = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&num_sms, cudaDevAttrMultiProcessorCount, device));
  if constexpr (Tile::kOptions.splits) {
    const LastWave last = last_wave(x, {Tile::kRows, Tile::kKeys}, num_sms);
    p.whole = last.whole, p.parts = last.parts;
    p.part_o = c.part_o, p.part_lse2 = c.part_lse2;
  }
  constexpr int kBytes = sizeof(Smem<Tile>);
  const auto function = [] {
    if constexpr (Tile::kOptions.specialised) return kernel<Tile, kCausal>;
    else return together<Tile, kCausal>;
  }();
  CUDA_CHECK(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  int tiles = p.heads * p.q_tiles;
  if constexpr (Tile::kOptions.splits) tiles = p.whole + (tiles - p.whole) * p.parts;
  const int blocks = Tile::kOptions.persistent ? num_sms : tiles;
  const int threads = 128 * (Tile::kWarpgroups + (Tile::kOptions.specialised ? 1 : 0));
  function<<<std::min(blocks, tiles), threads, kBytes, stream>>>(p);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace kvroof::kernels::flash_v3
