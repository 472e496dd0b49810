// Split-KV decode over a cache of 8- and 4-bit codes, d = 128; the schedule is that of
// split_kv.cuh, with fewer bytes a key.
//
//   S = scale · k_scale_j · (q · k_j)      O = sum_j (p_j · v_scale_j) · v_j
// What bounds it is the widening, so the products are transposed: codes are operand A, whose 16
// rows are keys or columns of V, and the query rows are the 8 columns of operand B. A group of 8
// heads fills them without padding, and its softmax runs once a score.
//   S^T [32 keys, rows] = K·Q^T     O^T [128, rows] = V^T·P^T
// Codes stay narrow in shared memory and widen to fp16, exactly, on the way into the tensor cores.
// A scale a token acts on a key of S or P, once a score instead of once an element; so does a zero
// point: sum_d q_d·(n_d - z) = sum_d q_d·n_d - z·sum_d q_d, and likewise for V.
#pragma once
#include "kernels/narrow_cache.cuh"
#include "kernels/transposed_softmax.cuh"

namespace kvroof::kernels {

/// x of the four keys g + 8·i of which this lane holds scores; lane j holds key j's.
__device__ __forceinline__ void of_my_keys(float (&mine)[4], float x, int lane) {
#pragma unroll
  for (int i = 0; i < 4; ++i) mine[i] = __shfl_sync(~0u, x, 8 * i + lane / 4);
}

/// q [kRowTiles, 8 steps, 2]: operand B of S^T, in the order of K's codes.
template <class T>
using NarrowQ = std::uint32_t[T::kRowTiles][8][2];

/// S^T of a tile of 32 keys.
template <class T>
__device__ __forceinline__ void narrow_scores(float (&s)[T::kRowTiles][T::kKeyTiles][4],
                                              const NarrowQ<T>& q,
                                              const NarrowStage<typename T::K>& k, int lane) {
  using F = typename T::K;
  constexpr Code kCode = F::kCode;
  const int g = lane / 4, c = lane % 4;
  std::uint32_t scale[4][2] = {};
  if constexpr (F::kBlocks) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // two blocks of this lane's 32 columns
      const auto pair = *reinterpret_cast<const std::uint16_t*>(k.blocks + (8 * i + g) * 8 + 2 * c);
      const __half2 scales = as_half2(widen_e4m3(pair));
      scale[i][0] = bits(__low2half2(scales)), scale[i][1] = bits(__high2half2(scales));
    }
  }
#pragma unroll
  for (int piece = 0; piece < kPieces<kCode>; ++piece) {
    uint4 chunks[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) chunks[i] = k.codes.chunk(8 * i + g, 4 * piece + c);
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      std::uint32_t x[4][2 * kWordSteps<kCode>];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        widen_k<kCode>(x[i], reinterpret_cast<const std::uint32_t*>(&chunks[i])[w],
                       scale[i][w / 2]);
#pragma unroll
      for (int h = 0; h < kWordSteps<kCode>; ++h) {
        const int step = (4 * piece + w) * kWordSteps<kCode> + h;
#pragma unroll
        for (int u = 0; u < T::kKeyTiles; ++u) {
          const std::uint32_t a[4] = {x[2 * u][2 * h], x[2 * u + 1][2 * h], x[2 * u][2 * h + 1],
                                      x[2 * u + 1][2 * h + 1]};
#pragma unroll
          for (int r = 0; r < T::kRowTiles; ++r) mma_fp16(s[r][u], a, q[r][step][0], q[r][step][1]);
        }
      }
    }
  }
}

/// O^T += V^T·P^T for a tile of 32 keys.
template <class T>
__device__ __forceinline__ void narrow_values(float (&o)[T::kRowTiles][T::kColTiles][4],
                                              const float (&p)[T::kRowTiles][T::kKeyTiles][4],
                                              const NarrowStage<typename T::V>& v, int lane) {
  using F = typename T::V;
  const int g = lane / 4, c = lane % 4;
#pragma unroll
  for (int u = 0; u < T::kKeyTiles; ++u) {
    std::uint32_t b[T::kRowTiles][2];
#pragma unroll
    for (int r = 0; r < T::kRowTiles; ++r)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        b[r][half] = transposed(pack_fp16(p[r][u][2 * half], p[r][u][2 * half + 1]));
    const auto row = [&](int i) { return 16 * u + 2 * c + i % 2 + i / 2 * 8; };
    std::uint32_t scale[2] = {};
    if constexpr (F::kBlocks) {
#pragma unroll
      for (int pair = 0; pair < 2; ++pair)
        scale[pair] =
            widen_e4m3(v.blocks[row(2 * pair) * 8 + g] | v.blocks[row(2 * pair + 1) * 8 + g] << 8);
    }
    v_operands<F::kCode>(v.codes, g, row, scale[0], scale[1],
                         [&](int j, const std::uint32_t(&a)[4]) {
#pragma unroll
                           for (int r = 0; r < T::kRowTiles; ++r)
                             mma_fp16(o[r][j], a, b[r][0], b[r][1]);
                         });
  }
}

/// Q in fp16, in the order of K's codes, and the sums of its rows 2c, 2c + 1.
template <class T, class QRow>
__device__ __forceinline__ void load_narrow_q(NarrowQ<T>& q, float (&sums)[T::kRowTiles][2],
                                              const QRow& q_row, int lane) {
  constexpr Code kCode = T::K::kCode;
#pragma unroll
  for (int r = 0; r < T::kRowTiles; ++r) {
    const bf16* row = q_row(8 * r + lane / 4);
    float sum = 0;
#pragma unroll
    for (int step = 0; step < 8; ++step)
#pragma unroll
      for (int hi = 0; hi < 2; ++hi) {
        const int d = k_column<kCode>(step, lane % 4, hi);
        const float x = row == nullptr ? 0.f : __bfloat162float(row[d]),
                    y = row == nullptr ? 0.f : __bfloat162float(row[d + kPairDistance<kCode>]);
        const float unit = hi == 0 ? 1.f : kOddUnit<kCode>;
        q[r][step][hi] = pack_fp16(x * unit, y * unit);
        sum += x + y;
      }
    sum = quad_sum(sum);
#pragma unroll
    for (int i = 0; i < 2; ++i) sums[r][i] = __shfl_sync(~0u, sum, 4 * (2 * (lane % 4) + i));
  }
}

/// f(row tile, key tile, element) for every score a lane holds.
template <class T, class F>
__device__ __forceinline__ void for_scores(const F& f) {
#pragma unroll
  for (int r = 0; r < T::kRowTiles; ++r)
#pragma unroll
    for (int u = 0; u < T::kKeyTiles; ++u)
#pragma unroll
      for (int e = 0; e < 4; ++e) f(r, u, e);
}

/// One block per (split, kRows packed query rows, request and K/V head).
template <class T>
__global__ __launch_bounds__(T::kThreads,
                             T::kCtasPerSm) void attend_narrow(const SplitParams p,
                                                               const SplitDivisors by,
                                                               const NarrowCache cache) {
  using K = typename T::K;
  using V = typename T::V;
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<NarrowSmem<T>*>(shared);
  const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
  auto& mine = smem.warp[threadIdx.x / 32];
  const auto packed = PackedRows::of<T::kRows>(p, by);
  const int2 range = split_range<T>(cache.s_kv, blockIdx.x, by.splits);
  const std::int64_t base =
      (static_cast<std::int64_t>(packed.request) * p.h_kv + packed.kv_head) * cache.s_kv;
  const float scale =
      p.scale * kLog2e * tensor_scale<K>(cache.k) * (K::kPerToken ? 1.f : kCodeUnit<K::kCode>);

  constexpr int kStride = T::kKeys * T::kWarps;
  const int first = range.x + threadIdx.x / 32 * T::kKeys;
  int load_key = first, load_idx = 0;
  const auto start_next = [&] {
    if (load_key < range.y) {
      const int valid = range.y - load_key;
      copy_keys<K>(mine.stage[load_idx].k, cache.k, base + load_key, valid, lane);
      copy_keys<V>(mine.stage[load_idx].v, cache.v, base + load_key, valid, lane);
    }
    commit_copies();
    load_key += kStride, load_idx = load_idx + 1 == T::kStages ? 0 : load_idx + 1;
  };
#pragma unroll
  for (int i = 0; i < T::kStages - 1; ++i) start_next();

  // Of key `lane` of a tile; fetched two tiles ahead.
  struct KeyScales {
    float k, v;
    int zeros;
  };
  const auto fetch = [&](int key) {
    const std::int64_t row = base + key + lane;
    const bool valid = key + lane < range.y;
    KeyScales x{token_scale<K>(cache.k, row, valid), token_scale<V>(cache.v, row, valid), 0};
    if constexpr (K::kZeros || V::kZeros) x.zeros = valid ? cache.zeros[row] : 0;
    return x;
  };
  KeyScales next = fetch(first), later = fetch(first + kStride);
  NarrowQ<T> q;
  float q_sums[T::kRowTiles][2];
  load_narrow_q<T>(
      q, q_sums, [&](int r) { return r < packed.count ? p.q + packed.row(p, r) * T::kD : nullptr; },
      lane);

  float o[T::kRowTiles][T::kColTiles][4] = {};
  RowPair softmax[T::kRowTiles];
  int stage_idx = 0;
  for (int key = first; key < range.y; key += kStride) {
    const KeyScales now = next;
    next = later, later = fetch(key + 2 * kStride);
    wait_copies<T::kStages - 2>();
    __syncwarp();  // the oldest stage has arrived; the one before it has been read by all lanes
    start_next();
    const auto& stage = mine.stage[stage_idx];
    stage_idx = stage_idx + 1 == T::kStages ? 0 : stage_idx + 1;

    float s[T::kRowTiles][T::kKeyTiles][4] = {};
    narrow_scores<T>(s, q, stage.k, lane);
    if constexpr (K::kPerToken) {
      float scales[4], zeros[4];
      of_my_keys(scales, now.k * kCodeUnit<K::kCode>, lane);
      if constexpr (K::kZeros) of_my_keys(zeros, now.k * (now.zeros & 15), lane);
      for_scores<T>([&](int r, int u, int e) {
        const int i = 2 * u + e / 2;
        s[r][u][e] *= scales[i];
        if constexpr (K::kZeros) s[r][u][e] -= zeros[i] * q_sums[r][e % 2];
      });
    }
    if (key + T::kKeys > range.y)
      for_scores<T>([&](int r, int u, int e) {
        if (key + 16 * u + 8 * (e / 2) + g >= range.y) s[r][u][e] = -INFINITY;
      });
#pragma unroll
    for (int r = 0; r < T::kRowTiles; ++r)
      if (softmax[r].template update<true>(s[r], scale)) softmax[r].correct(o[r]);
    if constexpr (V::kPerToken) {
      float scales[4], zeros[4];
      of_my_keys(scales, now.v, lane);
      if constexpr (V::kZeros) of_my_keys(zeros, static_cast<float>(now.zeros >> 4), lane);
      for_scores<T>([&](int r, int u, int e) {
        const int i = 2 * u + e / 2;
        s[r][u][e] *= scales[i];
        if constexpr (V::kZeros) softmax[r].zeros[e % 2] += s[r][u][e] * zeros[i];
      });
    }
    narrow_values<T>(o, s, stage.v, lane);
  }
  wait_copies<0>();
  allow_next_kernel();

  __syncwarp();
  const float out_scale = tensor_scale<V>(cache.v);
#pragma unroll
  for (int r = 0; r < T::kRowTiles; ++r) {
    softmax[r].finish();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = 8 * r + 2 * c + i;
      if (g == 0) {
        mine.result.max2[row] =
            softmax[r].max[i] == -INFINITY ? -INFINITY : softmax[r].max[i] * scale;
        mine.result.sum[row] = softmax[r].sum[i];
      }
      constexpr float kUnit = kCodeUnit<V::kCode>;
#pragma unroll
      for (int j = 0; j < T::kColTiles; ++j)
        *reinterpret_cast<float2*>(&mine.result.o[row][16 * g + 2 * j]) = make_float2(
            (o[r][j][i] * kUnit - softmax[r].zeros[i]) * out_scale,
            (o[r][j][2 + i] * (kUnit * kOddUnit<V::kCode>)-softmax[r].zeros[i]) * out_scale);
    }
  }
  store_merged<T>(p, packed, smem);
}

}  // namespace kvroof::kernels
