// Masks, exponentials and the online softmax on wgmma accumulators.
#pragma once
#include "kernels/hopper/forward/tile.cuh"
#include "kernels/hopper/fragment.cuh"

namespace kvroof::kernels::flash_v3 {

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

/// 2^(s·scale - base) on the FMA pipe, for a whole-numbered base: floor by adding 1.5·2^23 rounded
/// down, degree-3 polynomial on the fraction, exponent inserted by a shift and an add. Relative
/// error 8.8e-5 (Zadouri et al., arXiv:2603.05451, section 3.1). Below 2^-126 it stays there.
__device__ __forceinline__ float exp2_polynomial(float s, float scale, float base) {
  constexpr float kMagic = 12582912.f;  // 1.5·2^23: its last mantissa bit is worth 1
  const float floor = fmaxf(__fmaf_rd(s, scale, kMagic - base), kMagic - 126.f);
  const float whole = floor - (kMagic - base);
  float f;
  asm("fma.rn.sat.f32 %0, %1, %2, %3;" : "=f"(f) : "f"(s), "f"(scale), "f"(-whole));
  float p = fmaf(0.0771190897f, f, 0.227564394f);
  p = fmaf(p, f, 0.695146144f);
  p = fmaf(p, f, 1.f);
  return __int_as_float((__float_as_int(floor) << 23) + __float_as_int(p));
}

/// now[half] = maximum of a row over the tile and of what came before, m[half]
template <int kCount>
__device__ __forceinline__ void row_maxima(float (&now)[2], const float (&s)[kCount],
                                           const float (&m)[2]) {
  float high[2][4];  // chains of comparisons that do not wait for each other
#pragma unroll
  for (int i = 0; i < kCount / 4; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& top = high[half][i % 2 * 2 + e];
        const float x = s[4 * i + 2 * half + e];
        top = i < 2 ? x : fmaxf(top, x);
      }
#pragma unroll
  for (int half = 0; half < 2; ++half)
    now[half] = row_max(fmaxf(
        m[half], fmaxf(fmaxf(high[half][0], high[half][1]), fmaxf(high[half][2], high[half][3]))));
}

/// The same from the bits of the scores as integers, three at a time: half the instructions. Their
/// order is that of the numbers as long as one is positive; false where a row of the warp has none.
template <int kCount>
__device__ __forceinline__ bool row_maxima_by_bits(float (&now)[2], const float (&s)[kCount],
                                                   const float (&m)[2]) {
  bool negative = false;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto bits = [&](int i) {  // i-th of the row's columns
      return __float_as_int(s[i / 2 * 4 + 2 * half + i % 2]);
    };
    int high[2] = {bits(0), bits(1)};
#pragma unroll
    for (int i = 2; i < kCount / 2; i += 2)
      high[i / 2 % 2] = __vimax3_s32(high[i / 2 % 2], bits(i), bits(i + 1));
    int top = max(high[0], high[1]);
    top = max(top, __shfl_xor_sync(0xFFFFFFFF, top, 1));
    top = max(top, __shfl_xor_sync(0xFFFFFFFF, top, 2));
    now[half] = fmaxf(m[half], __int_as_float(top));
    negative = negative || top < 0;
  }
  return !__any_sync(0xFFFFFFFF, negative);
}

/// How the stored scores of a tile of keys become exponents: scale · log2(e), and with block scales
/// what KeyScale says.
struct TileScale {
  float log2, log2_v = 0, inverse_v = 1;
};

/// Online softmax of this thread's two rows, in base 2: exponents carry scale · log2(e). P lies in
/// [0, 2^kLift]: E4M3 is kept clear of its subnormals, l carries the same factor. With block scales
/// P is v · exp(S - m), where v is the scale of the tile of V: maxima, `base` and `correction` are
/// those of log v + S, so the largest products fill the range of E4M3, and `m` is not used, because
/// stored scores of two tiles do not compare.
template <class Tile>
struct Softmax {
  static constexpr Options kOptions = Tile::kOptions;
  static constexpr int kLift = Tile::kFp8 ? kOptions.lazy > 0 ? 8 - kOptions.lazy : 8 : 0;
  static constexpr bool kPolynomial = kOptions.poly_of_16 > 0;

  float m[2] = {-INFINITY, -INFINITY};     // maximum of the raw scores that `base` belongs to
  float l[2] = {0, 0};                     // sum of exponentials, this thread's columns only
  float base[2] = {-INFINITY, -INFINITY};  // m in units of the exponent
  float correction[2] = {0, 0};            // what O and l must be multiplied with
  bool rescales = true;                    // one value a warp: some correction is not 1

  /// m, base, correction of the next tile. kMasked: a row may not have seen a key yet.
  template <bool kMasked, int kCount>
  __device__ __forceinline__ void maximum(const float (&s)[kCount], const TileScale& scale) {
    float now[2];
    if (!kOptions.max3 || !row_maxima_by_bits(now, s, m)) row_maxima(now, s, m);
    if constexpr (kOptions.lazy >= 0) {  // NaN where a row has not seen a key: nothing grew
      const auto growth = [&](int half) {
        if constexpr (kOptions.block_scales)
          return fmaf(now[half], scale.log2, scale.log2_v) - base[half];
        else return (now[half] - m[half]) * scale.log2;
      };
      const bool grown = growth(0) > kOptions.lazy || growth(1) > kOptions.lazy;
      rescales = __any_sync(0xFFFFFFFF, grown);
      if (!rescales) return;
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float next = now[half] * scale.log2;
      if constexpr (kOptions.block_scales)
        next = fmaxf(base[half], fmaf(now[half], scale.log2, scale.log2_v));
      if constexpr (kPolynomial) next = ceilf(next);
      const float seen = kOptions.block_scales ? next : now[half];
      correction[half] = kMasked && seen == -INFINITY ? 0.f : exp2_approx(base[half] - next);
      base[half] = next;
      if constexpr (!kOptions.block_scales) m[half] = now[half];
    }
  }

  /// S -> exp(S - m); l. Tiles that need a mask take no polynomial: it never gives 0.
  template <bool kMasked, int kCount>
  __device__ __forceinline__ void exponentials(float (&s)[kCount], const TileScale& scale) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float lift = kLift;
      if constexpr (kOptions.block_scales) lift += scale.log2_v;
      const float zero = (kMasked && base[half] == -INFINITY ? 0.f : base[half]) - lift;
      float sum[2] = {0, 0};
#pragma unroll
      for (int i = 0; i < kCount / 4; ++i)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = s[4 * i + 2 * half + e];
          if (kPolynomial && !kMasked &&
              (2 * i + e) * kOptions.poly_of_16 % 16 < kOptions.poly_of_16)
            x = exp2_polynomial(x, scale.log2, zero);
          else x = exp2_approx(fmaf(x, scale.log2, -zero));
          sum[e] += x;
        }
      float now = sum[0] + sum[1];
      if constexpr (kOptions.block_scales) now *= scale.inverse_v;
      if constexpr (kOptions.lazy >= 0)
        l[half] = (rescales ? correction[half] : 1.f) * l[half] + now;
      else l[half] = fmaf(l[half], correction[half], now);
    }
  }

  template <bool kMasked, int kCount>
  __device__ __forceinline__ void update(float (&s)[kCount], const TileScale& scale) {
    maximum<kMasked>(s, scale);
    exponentials<kMasked>(s, scale);
  }

  template <int kCount>
  __device__ __forceinline__ void rescale(float (&o)[kCount]) const {
    if (kOptions.lazy >= 0 && !rescales) return;
#pragma unroll
    for (int i = 0; i < kCount; ++i) o[i] *= correction[i / 2 % 2];
  }

  /// the same in base 2
  __device__ __forceinline__ float lse2(int half, float sum) const {
    return sum > 0 ? base[half] - kLift + log2f(sum) : -INFINITY;
  }
  /// log sum exp of a row whose exponentials sum to `sum`; -inf where it saw no key
  __device__ __forceinline__ float lse(int half, float sum) const {
    return sum > 0 ? (base[half] - kLift) * 0.6931471806f + logf(sum) : -INFINITY;
  }
};

}  // namespace kvroof::kernels::flash_v3
