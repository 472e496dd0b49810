// The engine of the softmax warps: a row of S a thread, 128 scores in its registers.
#pragma once
#include "kernels/blackwell/forward/tile.cuh"
#include "kernels/hopper/forward/softmax.cuh"

namespace kvroof::kernels::blackwell::forward {

/// Of every 16 exponentials, how many are polynomials on the FMA pipe: arXiv:2603.05451, section
/// 3.1 takes 10 to 25 %. Not tuned: there was no GPU.
inline constexpr int kPolyOf16 = 2;
/// O and the sums are rescaled only if a maximum grows by more than 2^8 (section 3.2).
inline constexpr float kLazyLog2 = 8;

/// Online softmax in base 2, as flash_v3::Softmax: P = 2^(S · scale_log2 - base).
template <bool kCausal>
struct SoftmaxEngine : WarpBlock<kCausal> {
  using WarpBlock<kCausal>::p, WarpBlock<kCausal>::mine, WarpBlock<kCausal>::lane_row;
  using WarpBlock<kCausal>::WarpBlock;

  float s[kKeys];  // scores of the present tile
  float m, base,
      sum;       // maximum that `base` belongs to; the same in units of the exponent; sum of P
  float growth;  // what O and the sum are to be multiplied with

  __device__ __forceinline__ bool begin(int w) {
    m = base = -INFINITY, sum = 0;
    return WarpBlock<kCausal>::begin(w);
  }
  /// Tiles at and above it need a mask in some row of tile t.
  __device__ __forceinline__ int first_masked(int t) const {
    return ::max(0, this->seen_by(this->row + t * kRows)) / kKeys;
  }

  __device__ __forceinline__ void read_scores(int t, int j) {
#pragma unroll
    for (int i = 0; i < kKeys; i += 32) load_columns(s + i, mine.columns(scores_column(t) + i));
    wait_loads();  // P will overwrite half of them
    if (j >= first_masked(t)) {
      const int limit = this->seen_by(this->row + t * kRows + lane_row) - j * kKeys;
#pragma unroll
      for (int i = 0; i < kKeys; ++i)
        if (i >= limit) s[i] = -INFINITY;
    }
    float high[4] = {m, s[0], s[1], s[2]};  // chains of comparisons that do not wait for each other
#pragma unroll
    for (int i = 3; i < kKeys; ++i) high[i % 4] = fmaxf(high[i % 4], s[i]);
    const float now = fmaxf(fmaxf(high[0], high[1]), fmaxf(high[2], high[3]));

    growth = 1;
    const bool grown = (now - m) * p.scale_log2 > kLazyLog2;  // NaN, so false, before the first key
    if (!__any_sync(0xFFFFFFFF, grown)) return;
    const float next = ceilf(now * p.scale_log2);  // whole: the polynomial needs it
    growth = now == -INFINITY ? 0.f : flash_v3::exp2_approx(base - next);
    m = now, base = next, sum *= growth;
  }

  /// S -> P, in bf16, two keys a column; the sum takes P before it is rounded.
  __device__ __forceinline__ void write_probabilities(int t, int j) {
    if (j >= first_masked(t)) write_probabilities<false>(t);
    else write_probabilities<(kPolyOf16 > 0)>(t);
  }
  /// Tiles that need a mask take no polynomial: it never gives 0.
  template <bool kPolynomial>
  __device__ __forceinline__ void write_probabilities(int t) {
    const float zero = base == -INFINITY ? 0.f : base;
    float sums[4] = {};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      std::uint32_t words[32];
#pragma unroll
      for (int i = 0; i < 32; ++i) {
        float pair[2];
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int key = 64 * half + 2 * i + e;
          if (kPolynomial && key * kPolyOf16 % 16 < kPolyOf16)
            pair[e] = flash_v3::exp2_polynomial(s[key], p.scale_log2, zero);
          else pair[e] = flash_v3::exp2_approx(fmaf(s[key], p.scale_log2, -zero));
          sums[key % 4] += pair[e];
        }
        words[i] = hopper::pack2<Bf16>(pair[0], pair[1]);
      }
      store_columns(mine.columns(probability_column(t, 64 * half)), words);
    }
    sum += (sums[0] + sums[1]) + (sums[2] + sums[3]);
    wait_stores();
  }

  __device__ __forceinline__ void write_growth(int t) {
    this->smem.note[t][lane_row] = make_float2(growth, 0);
  }
  __device__ __forceinline__ void write_sums(int t) {
    this->smem.note[t][lane_row] = make_float2(sum, base);
  }
};

}  // namespace kvroof::kernels::blackwell::forward
