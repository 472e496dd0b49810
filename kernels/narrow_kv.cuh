// Split-KV decode over a cache of 8- and 4-bit codes, d = 128; the schedule is that of
// split_kv.cuh, with fewer bytes a key.
//
//   S = scale · k_scale_j · (q · k_j)      O = sum_j (p_j · v_scale_j) · v_j
// Codes stay narrow in shared memory and widen to fp16, exactly, on the way into the tensor cores.
// A scale a token acts on a column of S or P, once a score instead of once an element.
#pragma once
#include "kernels/narrow_codes.cuh"
#include "kernels/split_kv.cuh"

namespace kvroof::kernels {

/// Where the scales of a tensor are.
///   tensor   one fp32                 token        one fp32 a (request, K/V head, token)
///   group    one fp16 and one 4-bit zero point a token: x = scale · (code - zero)
///   block16  E4M3 for each 16 columns of a token, and one fp32
enum class Scales { tensor, token, group, block16 };

template <Code kCode_, Scales kScales_>
struct Narrow {
  static constexpr Code kCode = kCode_;
  static constexpr Scales kScales = kScales_;
  static constexpr int kBytes = 128 * kCodeBits<kCode> / 8;  // of a row of codes
  static constexpr bool kPerToken = kScales == Scales::token || kScales == Scales::group;
  static constexpr bool kZeros = kScales == Scales::group;
  static constexpr bool kBlocks = kScales == Scales::block16;
};

template <class K_, class V_>
struct NarrowTile {
  using K = K_;
  using V = V_;
  static constexpr int kD = 128, kRows = 16, kKeys = 32;  // lane j of a warp knows key j's scales
  static constexpr int kWarps = 4, kThreads = 32 * kWarps, kStages = 3;
  // 4-bit keys come faster than two blocks can widen them.
  static constexpr int kCtasPerSm = K::kBytes + V::kBytes < 256 ? 3 : 2;
  static constexpr int kColTiles = kD / 8, kKeyTiles = kKeys / 8, kKeySteps = kKeys / 16;
};

/// One of K and V: codes [b, h_kv, s_kv, kBytes], its scales, and its E4M3 scales [b, h_kv, s_kv,
/// 8].
struct NarrowTensor {
  const std::uint8_t* codes;
  const void* scale;
  const std::uint8_t* blocks;
};
struct NarrowCache {
  NarrowTensor k, v;
  const std::uint8_t* zeros;  // [b, h_kv, s_kv]: K's in the low half of the byte, V's in the high
  int s_kv;
};

template <class F>
struct NarrowStage {
  CodeRows<F::kBytes> codes;
  std::uint8_t blocks[F::kBlocks ? 32 * 8 : 8];
};
template <class T>
struct NarrowSmem {
  struct Stage {
    NarrowStage<typename T::K> k;
    NarrowStage<typename T::V> v;
  };
  union Warp {
    Stage stage[T::kStages];
    typename WarpResult<T>::Type result;
  };
  Warp warp[T::kWarps];
};

/// Starts the copy of 32 keys from row `row` of the cache on; `valid` of them exist.
template <class F>
__device__ __forceinline__ void copy_keys(NarrowStage<F>& stage, const NarrowTensor& x,
                                          std::int64_t row, int valid, int lane) {
  using Rows = CodeRows<F::kBytes>;
  constexpr int kRowsPerStep = 32 / Rows::kChunks;
  const std::uint8_t* codes = x.codes + row * F::kBytes;
#pragma unroll
  for (int step = 0; step < 32 / kRowsPerStep; ++step) {
    const int r = step * kRowsPerStep + lane / Rows::kChunks, chunk = lane % Rows::kChunks;
    copy_async(shared_address(stage.codes.data) + Rows::offset(r, chunk),
               codes + (r < valid ? r : 0) * F::kBytes + 16 * chunk, r < valid);
  }
  if constexpr (F::kBlocks)
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(
                     shared_address(stage.blocks + 8 * lane)),
                 "l"(x.blocks + (row + (lane < valid ? lane : 0)) * 8), "r"(lane < valid ? 8 : 0)
                 : "memory");
}

/// Scale of one token, 1 where there is none.
template <class F>
__device__ __forceinline__ float token_scale(const NarrowTensor& x, std::int64_t row, bool valid) {
  if constexpr (F::kScales == Scales::token)
    return valid ? static_cast<const float*>(x.scale)[row] : 1.f;
  else if constexpr (F::kScales == Scales::group)
    return valid ? __half2float(static_cast<const __half*>(x.scale)[row]) : 1.f;
  else return 1.f;
}
/// What the whole tensor's scores or outputs are multiplied with.
template <class F>
__device__ __forceinline__ float tensor_scale(const NarrowTensor& x) {
  if constexpr (F::kPerToken) return 1.f;
  return *static_cast<const float*>(x.scale) * (F::kBlocks ? kFp4Rest : 1.f);
}

/// Multiplies column j of s [16, 32] with what lane j holds.
template <int kTiles>
__device__ __forceinline__ void scale_columns(float (&s)[kTiles][4], float of_lane, int c) {
#pragma unroll
  for (int t = 0; t < kTiles; ++t)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const float x = __shfl_sync(~0u, of_lane, 8 * t + 2 * c + e);
      s[t][e] *= x, s[t][2 + e] *= x;
    }
}

/// S = Q·K^T for a tile of 32 keys. zeros: lane j holds key j's zero point.
template <class F, int kTiles>
__device__ __forceinline__ void narrow_scores(float (&s)[kTiles][4], const std::uint32_t (&q)[8][4],
                                              const NarrowStage<F>& k, int zeros, int lane) {
  const int g = lane / 4, c = lane % 4;
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    std::uint32_t with[2] = {};
    if constexpr (F::kZeros) {  // 0x640u is 1024 + u
      with[0] = with[1] = 0x64006400u + __shfl_sync(~0u, zeros & 15, 8 * t + g) * 0x00010001u;
    } else if constexpr (F::kBlocks) {
      const auto pair = *reinterpret_cast<const std::uint16_t*>(k.blocks + (8 * t + g) * 8 + 2 * c);
      const __half2 scales = __hmul2(as_half2(widen_e4m3(pair)), __float2half2_rn(128.f));
      with[0] = bits(__low2half2(scales)), with[1] = bits(__high2half2(scales));
    }
    std::uint32_t b[16];
    k_operands<F::kCode>(b, k.codes, 8 * t + g, c, [&](int block) { return with[block]; });
#pragma unroll
    for (int step = 0; step < 8; ++step) mma_fp16(s[t], q[step], b[2 * step], b[2 * step + 1]);
  }
}

/// O += P·V for a tile of 32 keys. zeros: lane j holds key j's zero point.
template <class F, int kTiles, int kColTiles>
__device__ __forceinline__ void narrow_values(float (&o)[kColTiles][4], const float (&p)[kTiles][4],
                                              const NarrowStage<F>& v, int zeros, int lane) {
  const int g = lane / 4, c = lane % 4;
#pragma unroll
  for (int n = 0; n < kTiles / 2; ++n) {
    const float(&lo)[4] = p[2 * n], (&hi)[4] = p[2 * n + 1];
    const std::uint32_t a[4] = {pack_fp16(lo[0], lo[1]), pack_fp16(lo[2], lo[3]),
                                pack_fp16(hi[0], hi[1]), pack_fp16(hi[2], hi[3])};
    const auto row = [&](int j) { return 16 * n + 2 * c + j % 2 + j / 2 * 8; };
    std::uint32_t with[2] = {};
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {
      if constexpr (F::kZeros) {
        const int first = __shfl_sync(~0u, zeros, row(2 * pair)),
                  second = __shfl_sync(~0u, zeros, row(2 * pair + 1));
        with[pair] = 0x64006400u + first + (second << 16);
      } else if constexpr (F::kBlocks) {
        const std::uint32_t both =
            v.blocks[row(2 * pair) * 8 + g] | v.blocks[row(2 * pair + 1) * 8 + g] << 8;
        with[pair] = bits(__hmul2(as_half2(widen_e4m3(both)), __float2half2_rn(128.f)));
      }
    }
    v_operands<F::kCode>(
        v.codes, g, row, with[0], with[1],
        [&](int tile, std::uint32_t b0, std::uint32_t b1) { mma_fp16(o[tile], a, b0, b1); });
  }
}

/// Q in fp16, in the order of K's codes.
template <Code kCode, class QRow>
__device__ __forceinline__ void load_narrow_q(std::uint32_t (&q)[8][4], const QRow& q_row,
                                              int lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const bf16* row = q_row(lane / 4 + 8 * half);
#pragma unroll
    for (int step = 0; step < 8; ++step)
#pragma unroll
      for (int hi = 0; hi < 2; ++hi) {
        const int d = k_column<kCode>(step, lane % 4, hi);
        q[step][2 * hi + half] = row == nullptr
                                     ? 0u
                                     : pack_fp16(__bfloat162float(row[d]),
                                                 __bfloat162float(row[d + kPairDistance<kCode>]));
      }
  }
}

/// One block per (split, 16 packed query rows, request and K/V head).
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
  const float scale = p.scale * 1.4426950408889634f * tensor_scale<K>(cache.k);

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
  std::uint32_t q[8][4];
  load_narrow_q<K::kCode>(
      q, [&](int r) { return r < packed.count ? p.q + packed.row(p, r) * T::kD : nullptr; }, lane);

  float o[T::kColTiles][4] = {};
  OnlineSoftmax softmax;
  int stage_idx = 0;
  for (int key = first; key < range.y; key += kStride) {
    const KeyScales now = next;
    next = later, later = fetch(key + 2 * kStride);
    wait_copies<T::kStages - 2>();
    __syncwarp();  // the oldest stage has arrived; the one before it has been read by all lanes
    start_next();
    const auto& stage = mine.stage[stage_idx];
    stage_idx = stage_idx + 1 == T::kStages ? 0 : stage_idx + 1;

    float s[T::kKeyTiles][4] = {};
    narrow_scores<K>(s, q, stage.k, now.zeros, lane);
    if constexpr (K::kPerToken) scale_columns(s, now.k, c);
    bool moved;
    if (key + T::kKeys <= range.y) {
      moved = softmax.update<false>(s, scale);
    } else {
#pragma unroll
      for (int t = 0; t < T::kKeyTiles; ++t)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (key + 8 * t + 2 * c + e % 2 >= range.y) s[t][e] = -INFINITY;
      moved = softmax.update<true>(s, scale);
    }
    if (moved) softmax.correct(o);
    if constexpr (V::kPerToken) scale_columns(s, now.v, c);
    narrow_values<V>(o, s, stage.v, now.zeros >> 4, lane);
  }
  wait_copies<0>();
  softmax.finish();
  allow_next_kernel();

  __syncwarp();
  publish_softmax<T>(mine.result, softmax, scale);
  const float out_scale = tensor_scale<V>(cache.v);
#pragma unroll
  for (int t = 0; t < T::kColTiles; ++t)
#pragma unroll
    for (int e = 0; e < 4; ++e)
      mine.result.o[g + e / 2 * 8][16 * (2 * c + e % 2) + t] = o[t][e] * out_scale;
  store_merged<T>(p, packed, smem);
}

}  // namespace kvroof::kernels
