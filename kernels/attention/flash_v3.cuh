// FlashAttention-3 forward on Hopper, 16-bit.              model: model/attention/flash_v3.cpp
//   S = scale · Q · K^T      P = softmax(S) by rows      O = P · V      LSE = log sum exp S
//   q [b, h_q, s_q, kDqk]   k [b, h_kv, s_kv, kDqk]   v [b, h_kv, s_kv, kDv]   o [b, h_q, s_q, kDv]
//   lse [b, h_q, s_q] fp32, optional; fp32 accumulation; causal: query i sees keys <= i + s_kv -
//   s_q
// Shah et al., FlashAttention-3 (arXiv:2407.08608), Algorithms 1 and 2.
//
// Who does what: one block per SM stays resident and takes tiles of kRows queries of one head,
// longest first. One thread of the producer warpgroup feeds Q, K and V through TMA into rings of
// shared memory; each consumer warpgroup owns 64 query rows, whose S, P and O live in its
// registers. The h_q / h_kv heads of a group read the same K/V tiles, one after another, out of L2.
//
// What overlaps: named barriers let one warpgroup issue its products, S_j = Q·K_j and O +=
// P_{j+1}·V_{j+1}, while the other is in its softmax (kPingPong). kOverlap also runs O += P·V under
// the softmax of the same warpgroup; on an H200 under its power limit that costs 0-5 % at d 64 and
// 128 and gains nothing at d 256, because packing P and rescaling O then follow the exponentials
// instead of hiding under them, so it is off. Keys are walked from last to first: masked tiles come
// first and the steady loop carries no mask.
//
// Reads: Q once, K and V once per query tile (L2 serves the repeats). Writes: O and LSE once.
#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "kernels/attention/flash_v3.hpp"
#include "kernels/hopper/fragment.cuh"
#include "kernels/hopper/mbarrier.cuh"
#include "kernels/hopper/named_barrier.cuh"
#include "kernels/hopper/registers.cuh"
#include "kernels/hopper/tma.cuh"
#include "kernels/hopper/wgmma.cuh"

namespace kvroof::kernels::flash_v3 {

using namespace hopper;

/// kRows = 64 · kWarpgroups queries by kKeys keys.
template <class T_, int kDqk_, int kDv_, int kWarpgroups_, int kKeys_, bool kPingPong_ = true,
          bool kOverlap_ = false>
struct Tile {
  using T = T_;
  static constexpr bool kFp8 = sizeof(T) == 1;
  using Out = std::conditional_t<kFp8, __nv_bfloat16, T>;
  static constexpr int kDqk = kDqk_, kDv = kDv_, kKeys = kKeys_;
  static constexpr int kRowElements = 128 / sizeof(T);  // of Q and K in one swizzled row
  static constexpr int kWarpgroups = kWarpgroups_, kRows = 64 * kWarpgroups;
  static constexpr bool kPingPong = kPingPong_, kOverlap = kOverlap_;
  static constexpr int kStages = 2;
  // A second Q buffer where it fits: the next tile's queries arrive under the present one.
  static constexpr int kQBytes = kRows * kDqk * sizeof(T),
                       kKvBytes = kStages * kKeys * (kDqk + kDv) * sizeof(T);
  static constexpr int kQStages = 2 * kQBytes + kKvBytes <= 224 * 1024 ? 2 : 1;
  static constexpr int kOperandRegisters = kKeys * sizeof(T) / 8;  // of P, a thread
  static constexpr int kThreads = 128 * (kWarpgroups + 1);
  // 65,536 registers: 2 consumers (24 + 2 · 240) · 128, 3 consumers (32 + 3 · 160) · 128
  static constexpr int kProducerRegisters = kWarpgroups == 2 ? 24 : 32;
  static constexpr int kConsumerRegisters = kWarpgroups == 2 ? 240 : 160;
  // Where O is large it is rescaled ahead of P·V, under Q·K^T, instead of after it.
  static constexpr bool kRescaleFirst = kDv > 128;
};

/// Where a tile lies and which keys it needs.
struct Place {
  int b, h, row;     // first query row
  int key_tiles;     // K/V tiles to visit, from the last one down; 0: no tile is left
  int first_masked;  // tiles at and above this index need a mask
};

template <class Tile>
struct Smem {
  using T = typename Tile::T;
  static constexpr int kC = Tile::kRowElements;
  alignas(1024) T q[Tile::kQStages][Tile::kDqk / kC][Tile::kRows][kC];
  alignas(1024) T k[Tile::kStages][Tile::kDqk / kC][Tile::kKeys][kC];
  // 16-bit: [d / 64][keys][64]; FP8: transposed, [keys / 64][d][64]
  alignas(1024) T v[Tile::kStages][Tile::kKeys * Tile::kDv];
  Mbarrier q_full[Tile::kQStages], q_free[Tile::kQStages];
  Mbarrier k_full[Tile::kStages], k_free[Tile::kStages];
  Mbarrier v_full[Tile::kStages], v_free[Tile::kStages];
  Place place[Tile::kQStages];  // of the tile that Q belongs to, published with q_full
};

struct Params {
  CUtensorMap q, k, v;
  void* o;
  float* lse;                                       // nullptr: not wanted
  std::int64_t o_stride_b, o_stride_h, o_stride_s;  // elements
  int s_q, s_kv, h_q, group;                        // group = h_q / h_kv
  float scale;
  const float *q_scale, *k_scale, *v_scale;  // FP8: [h_q], [h_kv], [h_kv]; value = scale · stored
  int q_tiles;                               // per head
  int heads;                                 // b · h_q
  int section;       // heads whose K/V stay in L2 together: tiles are ordered section by section
  unsigned* ticket;  // next tile to hand out; 0 between launches
};

/// Tile index -> place. Sections of heads; in a section the longest tiles of all heads first
/// (Zadouri et al. 2026, arXiv:2603.05451, section 3.3).
template <class Tile, bool kCausal>
__device__ __forceinline__ Place place(const Params& p, int tile) {
  const int per_section = p.section * p.q_tiles;
  const int s = tile / per_section, r = tile - s * per_section;
  const int heads = min(p.section, p.heads - s * p.section);
  const int from_last = r / heads;
  const int q_tile = p.q_tiles - 1 - from_last;
  const int head = s * p.section + r - from_last * heads;
  const int b = head / p.h_q;
  Place at{.b = b, .h = head - b * p.h_q, .row = q_tile * Tile::kRows};
  int last = p.s_kv, whole = p.s_kv;  // keys some row sees; keys all rows see
  if constexpr (kCausal) {
    const int diagonal = p.s_kv - p.s_q + 1 + at.row;
    last = min(p.s_kv, diagonal + Tile::kRows - 1);
    whole = min(p.s_kv, diagonal);
  }
  at.key_tiles = max(1, (last + Tile::kKeys - 1) / Tile::kKeys);
  at.first_masked = max(0, whole) / Tile::kKeys;
  return at;
}

// ---- producer ---------------------------------------------------------------------------------

/// One thread: for each tile Q, then K_j and V_j in the order in which consumers need them.
template <class Tile, bool kCausal>
__device__ __forceinline__ void produce(Smem<Tile>& smem, const Params& p) {
  prefetch_map(p.q), prefetch_map(p.k), prefetch_map(p.v);
  const int tiles = p.heads * p.q_tiles;
  Ring<Tile::kQStages> q{.parity = 1};
  Ring<Tile::kStages> k{.parity = 1}, v{.parity = 1};

  int tile = static_cast<int>(blockIdx.x);
  while (tile < tiles) {
    const Place at = place<Tile, kCausal>(p, tile);
    const int h_kv = at.h / p.group;
    const auto load_k = [&](int j) {
      smem.k_free[k.stage].wait(k.parity);
      smem.k_full[k.stage].arrive_expect(sizeof smem.k[0]);
      load_tile(smem.k[k.stage], p.k, smem.k_full[k.stage], j * Tile::kKeys, h_kv, at.b);
      k.advance();
    };
    const auto load_v = [&](int j) {
      smem.v_free[v.stage].wait(v.parity);
      smem.v_full[v.stage].arrive_expect(sizeof smem.v[0]);
      if constexpr (Tile::kFp8)
        load_tile(smem.v[v.stage], p.v, smem.v_full[v.stage], 0, h_kv, at.b, j * Tile::kKeys / 64);
      else load_tile(smem.v[v.stage], p.v, smem.v_full[v.stage], j * Tile::kKeys, h_kv, at.b);
      v.advance();
    };
    const unsigned ticket = atomicAdd(p.ticket, 1u);
    load_k(at.key_tiles - 1);
    smem.q_free[q.stage].wait(q.parity);
    smem.place[q.stage] = at;
    smem.q_full[q.stage].arrive_expect(sizeof smem.q[0]);
    load_tile(smem.q[q.stage], p.q, smem.q_full[q.stage], at.row, at.h, at.b);
    q.advance();
    for (int j = at.key_tiles - 2; j >= 0; --j) load_k(j), load_v(j + 1);
    load_v(0);

    tile = static_cast<int>(ticket + gridDim.x);
    // Every block draws one ticket past the end; whoever draws the last one resets the counter.
    if (ticket == static_cast<unsigned>(tiles) - 1) *p.ticket = 0;
  }
  smem.q_free[q.stage].wait(q.parity);
  smem.place[q.stage].key_tiles = 0;
  smem.q_full[q.stage].arrive();
}

// ---- consumer ---------------------------------------------------------------------------------

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
          o, p + 4 * i, v + (i / 2 * Tile::kDv * 64 + i % 2 * 32), true);
  } else {
#pragma unroll
    for (int i = 0; i < Tile::kKeys / 16; ++i)
      wgmma::Mma<Tile::kDv>::template rs<typename Tile::T, wgmma::Major::mn>(o, p + 4 * i,
                                                                             v + i * 2048, true);
  }
  wgmma::commit();
}

/// Scores of keys at or past limit[half] become -inf; `limit` counts from the tile's first key.
template <int kCount>
__device__ __forceinline__ void mask(float (&s)[kCount], const int (&limit)[2]) {
  const int column = fragment_column();
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const int key = i / 4 * 8 + column + i % 2;
    if (key >= limit[i / 2 % 2]) s[i] = -INFINITY;
  }
}

__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Online softmax of this thread's two rows, in base 2: exponents carry scale · log2(e).
/// FP8 keeps P in [0, 2^8] instead of [0, 1], clear of E4M3's subnormals; l carries the same
/// factor.
template <int kShift>
struct Softmax {
  float m[2] = {-INFINITY, -INFINITY};  // maximum of the raw scores so far
  float l[2] = {0, 0};                  // sum of exponentials, this thread's columns only
  float correction[2] = {0, 0};         // what O and l must be multiplied with

  float base[2];  // maximum in units of the exponent

  /// new m, correction. kMasked: a row may not have seen a key yet.
  template <bool kMasked, int kCount>
  __device__ __forceinline__ void maximum(const float (&s)[kCount], float scale_log2) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float high[2] = {m[half], s[2 * half]};
#pragma unroll
      for (int i = 0; i < kCount / 4; ++i)
#pragma unroll
        for (int e = 0; e < 2; ++e) high[e] = fmaxf(high[e], s[4 * i + 2 * half + e]);
      const float now = row_max(fmaxf(high[0], high[1]));
      base[half] = (kMasked && now == -INFINITY ? 0.f : now) * scale_log2;
      correction[half] = exp2_approx(fmaf(m[half], scale_log2, -base[half]));
      m[half] = now;
    }
  }
  /// S -> exp(S - m); l
  template <int kCount>
  __device__ __forceinline__ void exponentials(float (&s)[kCount], float scale_log2) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum[2] = {0, 0};
#pragma unroll
      for (int i = 0; i < kCount / 4; ++i)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = s[4 * i + 2 * half + e];
          x = exp2_approx(fmaf(x, scale_log2, kShift - base[half]));
          sum[e] += x;
        }
      l[half] = fmaf(l[half], correction[half], sum[0] + sum[1]);
    }
  }
  template <bool kMasked, int kCount>
  __device__ __forceinline__ void update(float (&s)[kCount], float scale_log2) {
    maximum<kMasked>(s, scale_log2);
    exponentials(s, scale_log2);
  }
  template <int kCount>
  __device__ __forceinline__ void rescale(float (&o)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) o[i] *= correction[i / 2 % 2];
  }
};

/// One warpgroup: its 64 rows of every tile.
template <class Tile, bool kCausal>
__device__ __forceinline__ void consume(Smem<Tile>& smem, const Params& p, int warpgroup) {
  using T = typename Tile::T;
  const Descriptor q0 = k_major(&smem.q[0][0][64 * warpgroup][0]);
  const Descriptor k0 = k_major(smem.k),
                   v0 = Tile::kFp8 ? k_major_64b(smem.v) : mn_major(smem.v, Tile::kKeys);
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
    if constexpr (Tile::kFp8) {
      const int h_kv = at.h / p.group;
      if (p.q_scale != nullptr) scale *= p.q_scale[at.h];
      if (p.k_scale != nullptr) scale *= p.k_scale[h_kv];
      if (p.v_scale != nullptr) v_scale = p.v_scale[h_kv];
    }
    const float scale_log2 = scale * 1.4426950408889634f;

    float s[Tile::kKeys / 2], o[Tile::kDv / 2] = {};
    std::uint32_t probabilities[Tile::kOperandRegisters];
    constexpr int kShift = Tile::kFp8 ? 8 : 0;
    Softmax<kShift> softmax;
    int j = at.key_tiles - 1;

    const auto scores = [&] {
      issue_scores<Tile>(s, q0 + q.stage * static_cast<int>(sizeof smem.q[0]),
                         k0 + k.stage * static_cast<int>(sizeof smem.k[0]));
    };
    const auto output = [&] {
      issue_output<Tile>(o, probabilities, v0 + v.stage * static_cast<int>(sizeof smem.v[0]));
    };
    const auto free_k = [&] {
      if (speaks) smem.k_free[k.stage].arrive();
      if (speaks && j == 0) smem.q_free[q.stage].arrive();  // Q was used for the last time
      k.advance();
    };
    const auto free_v = [&] {
      if (speaks) smem.v_free[v.stage].arrive();
      v.advance();
    };
    const auto mask_tile = [&] {
      int limit[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        limit[half] = p.s_kv - j * Tile::kKeys;
        if constexpr (kCausal)
          limit[half] = min(limit[half], row + 8 * half + 1 + p.s_kv - p.s_q - j * Tile::kKeys);
      }
      mask(s, limit);
    };

    const auto pack = [&] {
      if constexpr (Tile::kFp8) to_e4m3_operand(probabilities, s);
      else to_operand<T>(probabilities, s);
    };

    // Last tile of keys: S, P
    smem.k_full[k.stage].wait(k.parity);
    scores();
    wgmma::wait<0>();
    wgmma::pin(s);
    free_k();
    if (j >= at.first_masked) mask_tile();
    softmax.update<true>(s, scale_log2);
    pack();

    // S_j = Q · K_j^T beside O += P_{j+1} · V_{j+1}, then P_j
    const auto step = [&]<bool kMasked>() {
      smem.k_full[k.stage].wait(k.parity);
      my_turn();
      scores();
      if constexpr (Tile::kRescaleFirst) softmax.rescale(o);
      smem.v_full[v.stage].wait(v.parity);
      output();
      your_turn();
      wgmma::wait<1>();
      wgmma::pin(s);
      free_k();
      if constexpr (kMasked) mask_tile();
      softmax.update<kMasked>(s, scale_log2);
      // ptxas sees nothing that ties the softmax to the wait below and moves the wait ahead of it.
      // A store that depends on every exponential and never happens keeps the order.
      if constexpr (Tile::kOverlap)
        if (softmax.l[0] + softmax.l[1] < 0) smem.place[0].key_tiles = 0;
      wgmma::wait<0>();
      wgmma::pin(o);
      free_v();
      pack();
      if constexpr (!Tile::kRescaleFirst) softmax.rescale(o);
    };
    for (--j; j >= at.first_masked; --j) step.template operator()<true>();
    for (; j >= 0; --j) step.template operator()<false>();

    // O += P_0 · V_0
    if constexpr (Tile::kRescaleFirst) softmax.rescale(o);
    smem.v_full[v.stage].wait(v.parity);
    output();
    wgmma::wait<0>();
    wgmma::pin(o);
    free_v();

    q.advance();

    // O / l, LSE -> HBM
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + 8 * half;
      const float l = row_sum(softmax.l[half]);
      auto* out = static_cast<typename Tile::Out*>(p.o) + at.b * p.o_stride_b +
                  at.h * p.o_stride_h + r * p.o_stride_s;
      store_row(out, o, half, l > 0 ? v_scale / l : 0.f, r < p.s_q);
      if (p.lse != nullptr && r < p.s_q && threadIdx.x % 4 == 0)
        p.lse[(static_cast<std::int64_t>(at.b) * p.h_q + at.h) * p.s_q + r] =
            l > 0 ? softmax.m[half] * scale + logf(l) - kShift * 0.6931471806f : -INFINITY;
    }
  }
}

template <class Tile, bool kCausal>
__global__ void __launch_bounds__(Tile::kThreads, 1) kernel(const __grid_constant__ Params p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL  // wgmma and setmaxnreg exist on sm_90a alone
  extern __shared__ std::uint8_t raw[];
  auto& smem =
      *reinterpret_cast<Smem<Tile>*>((reinterpret_cast<std::uintptr_t>(raw) + 1023) / 1024 * 1024);
  constexpr int kConsumerWarps = 4 * Tile::kWarpgroups;
  if (threadIdx.x == 0) {
    for (int i = 0; i < Tile::kQStages; ++i)
      smem.q_full[i].init(1), smem.q_free[i].init(kConsumerWarps);
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

// ---- host -------------------------------------------------------------------------------------

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
                      Tile::kDv, Tile::kKeys, 64);
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
           .ticket = c.ticket};
  const double head_bytes = sizeof(T) * static_cast<double>(x.s_kv) * (x.d_qk + x.d_v);
  // Only causal tiles differ in length and gain from many heads to choose from. Full ones take head
  // by head: counters showed 1.5x to 1.9x of the HBM reads when several heads shared a section.
  const double share = kCausal ? c.l2_share : 0;
  p.section = static_cast<int>(std::clamp(share / head_bytes, 1., 1e6)) * p.group;
  p.section = std::min(p.section, p.heads);

  int device = 0, num_sms = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&num_sms, cudaDevAttrMultiProcessorCount, device));
  constexpr int kBytes = sizeof(Smem<Tile>) + 1024;  // room to align
  const auto function = kernel<Tile, kCausal>;
  CUDA_CHECK(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  function<<<std::min(num_sms, p.heads * p.q_tiles), Tile::kThreads, kBytes, stream>>>(p);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace kvroof::kernels::flash_v3
