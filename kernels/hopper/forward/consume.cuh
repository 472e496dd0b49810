// A consumer warpgroup: products, softmax, output.
#pragma once
#include <cstddef>

#include "kernels/hopper/forward/softmax.cuh"
#include "kernels/hopper/fragment.cuh"
#include "kernels/hopper/named_barrier.cuh"

namespace kvroof::kernels::flash_v3 {

using namespace hopper;

/// S = Q · K_j^T, issued and committed.
template <class Tile>
__device__ __forceinline__ void issue_scores(float (&s)[Tile::kKeys / 2], Descriptor q,
                                             Descriptor k) {
  wgmma::pin(s);
  wgmma::fence();
#pragma unroll
  for (int i = 0; i < Tile::kDqk / Tile::kRowElements * 4; ++i) {
    const int block = i / 4, inside = i % 4 * 32;
    wgmma::Mma<Tile::kKeys>::template ss<typename Tile::T, wgmma::Major::k>(
        s, q + (block * Tile::kRows * 128 + inside), k + (block * Tile::kKeys * 128 + inside),
        i > 0);
  }
  wgmma::commit();
}

/// O += P · V_j, issued and committed.
template <class Tile>
__device__ __forceinline__ void issue_output(float (&o)[Tile::kDv / 2],
                                             const std::uint32_t (&p)[Tile::kOperandRegisters],
                                             Descriptor v) {
  wgmma::pin(o);
  wgmma::fence();
  if constexpr (Tile::kFp8) {
#pragma unroll
    for (int i = 0; i < Tile::kKeys / 32; ++i)
      wgmma::Mma<Tile::kDv>::template rs<typename Tile::T, wgmma::Major::k>(
          o, p + 4 * i,
          v + (i * 32 / Tile::kVSpan * Tile::kDv * Tile::kVSpan + i * 32 % Tile::kVSpan), true);
  } else {
#pragma unroll
    for (int i = 0; i < Tile::kKeys / 16; ++i)
      wgmma::Mma<Tile::kDv>::template rs<typename Tile::T, wgmma::Major::mn>(o, p + 4 * i,
                                                                             v + i * 2048, true);
  }
  wgmma::commit();
}

/// One row of the accumulator times `factor` -> out, fp32.
template <int kD, int kCount>
__device__ __forceinline__ void store_partial(float* out, const float (&o)[kCount], int half,
                                              float factor) {
#pragma unroll
  for (int g = 0; g < kD / 8; ++g) {
    const int at = 4 * g + 2 * half;
    *reinterpret_cast<float2*>(out + 8 * g + fragment_column()) =
        make_float2(o[at] * factor, o[at + 1] * factor);
  }
}

/// O / l, LSE -> HBM
template <class Tile>
__device__ __forceinline__ void store_output(const Params& p, const Place& at, int row,
                                             const float (&o)[Tile::kDv / 2],
                                             const Softmax<Tile>& softmax, float v_scale) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + 8 * half;
    const float l = row_sum(softmax.l[half]);
    if constexpr (Tile::kOptions.splits)
      if (at.part >= 0) {
        const std::int64_t part_row = static_cast<std::int64_t>(at.part) * Tile::kRows + r - at.row;
        store_partial<Tile::kDv>(p.part_o + part_row * Tile::kDv, o, half, l > 0 ? v_scale / l : 0);
        if (threadIdx.x % 4 == 0) p.part_lse2[part_row] = softmax.lse2(half, l);
        continue;
      }
    auto* out = static_cast<typename Tile::Out*>(p.o) + at.b * p.o_stride_b + at.h * p.o_stride_h +
                r * p.o_stride_s;
    store_row(out, o, half, l > 0 ? v_scale / l : 0.f, r < p.s_q);
    if (p.lse != nullptr && r < p.s_q && threadIdx.x % 4 == 0)
      p.lse[(static_cast<std::int64_t>(at.b) * p.h_q + at.h) * p.s_q + r] = softmax.lse(half, l);
  }
}

/// Keys of tile j that a row does not see get -inf.
template <class Tile, bool kCausal>
__device__ __forceinline__ void mask_tile(float (&s)[Tile::kKeys / 2], const Params& p, int row,
                                          int j) {
  int limit[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    limit[half] = p.s_kv - j * Tile::kKeys;
    if constexpr (kCausal)
      limit[half] = min(limit[half], row + 8 * half + 1 + p.s_kv - p.s_q - j * Tile::kKeys);
  }
  mask(s, limit);
}

/// P as the A operand of P·V.
template <class Tile>
__device__ __forceinline__ void pack(std::uint32_t (&probabilities)[Tile::kOperandRegisters],
                                     const float (&s)[Tile::kKeys / 2]) {
  if constexpr (Tile::kFp8) to_e4m3_operand(probabilities, s);
  else to_operand<typename Tile::T>(probabilities, s);
}

/// One warpgroup: its 64 rows of every tile.
template <class Tile, bool kCausal>
__device__ __forceinline__ void consume(Smem<Tile>& smem, const Params& p, int warpgroup) {
  using T = typename Tile::T;
  // Addresses in a register: as functions of a symbol they would be computed anew at every use.
  using S = Smem<Tile>;
  const std::uint32_t base = __shfl_sync(0xFFFFFFFF, shared_address(&smem), 0);
  const Descriptor q0 = k_major(base + offsetof(S, q) + 64 * warpgroup * 128);
  const Descriptor k0 = k_major(base + offsetof(S, k));
  const Descriptor v0 = Tile::kFp8 ? k_major_narrow<Tile::kVSpan>(base + offsetof(S, v))
                                   : mn_major(base + offsetof(S, v), Tile::kKeys);
  const auto k_full = [base](int stage) { return base + offsetof(S, k_full) + 8 * stage; };
  const auto v_full = [base](int stage) { return base + offsetof(S, v_full) + 8 * stage; };
  const bool speaks = threadIdx.x % 32 == 0;  // one arrival per warp frees a buffer
  const int next_warpgroup = (warpgroup + 1) % Tile::kWarpgroups;
  Ring<Tile::kQStages> q;
  Ring<Tile::kStages> k, v;

  const auto my_turn = [&] {
    if constexpr (Tile::kPingPong) barrier_sync(1 + warpgroup, 256);
  };
  const auto your_turn = [&] {
    if constexpr (Tile::kPingPong) barrier_arrive(1 + next_warpgroup, 256);
  };
  if (warpgroup == Tile::kWarpgroups - 1) your_turn();  // warpgroup 0 begins

  while (true) {
    smem.q_full[q.stage].wait(q.parity);
    const Place at = smem.place[q.stage];
    if (at.key_tiles == 0) break;
    const int row = at.row + 64 * warpgroup + fragment_row();
    float scale = p.scale, v_scale = 1;
    const KeyScale* key_scales = nullptr;
    if constexpr (Tile::kOptions.block_scales) {
      const int block = min(at.row / 64 + warpgroup, p.q_blocks - 1);
      scale *= p.q_scale[(at.b * p.h_q + at.h) * p.q_blocks + block];
      key_scales = p.key_scales + (at.b * (p.h_q / p.group) + at.h / p.group) * p.key_blocks;
    } else if constexpr (Tile::kFp8) {
      const int h_kv = at.h / p.group;
      if (p.q_scale != nullptr) scale *= p.q_scale[at.h];
      if (p.k_scale != nullptr) scale *= p.k_scale[h_kv];
      if (p.v_scale != nullptr) v_scale = p.v_scale[h_kv];
    }
    const float scale_log2 = scale * 1.4426950408889634f;
    const auto scale_of = [&](int tile) -> TileScale {
      if constexpr (!Tile::kOptions.block_scales) return {scale_log2};
      const float4 of_keys = __ldg(reinterpret_cast<const float4*>(key_scales) + tile);
      return {scale_log2 * of_keys.x, of_keys.y, of_keys.z};
    };

    float s[Tile::kKeys / 2], o[Tile::kDv / 2] = {};
    std::uint32_t probabilities[Tile::kOperandRegisters];
    Softmax<Tile> softmax;
    int j = Tile::kOptions.splits ? at.first : 0;

    const auto scores = [&] {
      issue_scores<Tile>(s, q0 + q.stage * static_cast<int>(sizeof smem.q[0]),
                         k0 + k.stage * static_cast<int>(sizeof smem.k[0]));
    };
    const auto output = [&] {
      issue_output<Tile>(o, probabilities, v0 + v.stage * static_cast<int>(sizeof smem.v[0]));
    };
    const auto free_k = [&] {
      if (speaks) arrive_at(base + offsetof(S, k_free) + 8 * k.stage);
      // Q was used for the last time, and `place` with it. Every lane read that, so every lane
      // arrives: behind one arrival a warp, racecheck counted 2934 hazards between the read above
      // and the producer's next write (flash_v4, 384 tiles), and __syncwarp() did not satisfy it.
      if (j == at.key_tiles - 1) arrive_at(base + offsetof(S, q_free) + 8 * q.stage);
      k.advance();
    };
    const auto free_v = [&] {
      if (speaks) arrive_at(base + offsetof(S, v_free) + 8 * v.stage);
      v.advance();
    };
    // First tile of keys: S, P
    wait_at(k_full(k.stage), k.parity);
    scores();
    wgmma::wait<0>();
    wgmma::pin(s);
    free_k();
    if (j >= at.first_masked) mask_tile<Tile, kCausal>(s, p, row, j);
    softmax.update<true>(s, scale_of(j));
    pack<Tile>(probabilities, s);

    // S_j = Q · K_j^T beside O += P_{j-1} · V_{j-1}, then P_j
    bool k_ready = false;  // asked for ahead of the softmax, which hides the answer
    const auto step = [&]<bool kMasked>() {
      // Asked for here it arrives under the products; unchained, S needs the registers.
      TileScale scale{};
      if constexpr (Tile::kOptions.chained) scale = scale_of(j);
      if constexpr (Tile::kOptions.chained) {
        wait_at(v_full(v.stage), v.parity);
        my_turn();
        output();
        wgmma::wait<0>();
        wgmma::pin(o);
        free_v();
        if (!k_ready) wait_at(k_full(k.stage), k.parity);
        scores();
        your_turn();
        wgmma::wait<0>();
      } else {
        if (!k_ready) wait_at(k_full(k.stage), k.parity);
        my_turn();
        scores();
        if constexpr (Tile::kRescaleFirst) softmax.rescale(o);
        wait_at(v_full(v.stage), v.parity);
        output();
        your_turn();
        wgmma::wait<1>();
      }
      wgmma::pin(s);
      free_k();
      k_ready = j + 1 < at.key_tiles && try_wait_at(k_full(k.stage), k.parity);
      if constexpr (kMasked) mask_tile<Tile, kCausal>(s, p, row, j);
      if constexpr (!Tile::kOptions.chained) scale = scale_of(j);
      softmax.update<kMasked>(s, scale);
      // ptxas sees nothing that ties the softmax to the wait below and moves the wait ahead of it.
      // A store that depends on every exponential and never happens keeps the order.
      if constexpr (Tile::kOverlap)
        if (softmax.l[0] + softmax.l[1] < 0) smem.place[0].key_tiles = 0;
      if constexpr (!Tile::kOptions.chained) {
        wgmma::wait<0>();
        wgmma::pin(o);
        free_v();
      }
      pack<Tile>(probabilities, s);
      if constexpr (!Tile::kRescaleFirst) softmax.rescale(o);
    };
    const int unmasked = min(at.first_masked, at.key_tiles);
    for (++j; j < unmasked; ++j) step.template operator()<false>();
    for (; j < at.key_tiles; ++j) step.template operator()<true>();

    // O += P · V of the last tile
    if constexpr (Tile::kRescaleFirst) softmax.rescale(o);
    wait_at(v_full(v.stage), v.parity);
    output();
    wgmma::wait<0>();
    wgmma::pin(o);
    free_v();

    q.advance();

    store_output<Tile>(p, at, row, o, softmax, v_scale);
  }
}

}  // namespace kvroof::kernels::flash_v3
