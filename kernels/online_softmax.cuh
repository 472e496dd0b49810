// Softmax over a row that arrives in pieces (arXiv:1805.02867; as used in arXiv:2307.08691,
// Alg. 1).
//   m' = max(m, max_j s_j)   l' = 2^(m - m')·l + sum_j 2^(s_j - m')   O' = 2^(m - m')·O + P·V
// Scores are kept unscaled; `scale` = log2(e) / sqrt(d) enters in the exponent's one FMA.
#pragma once
#include <cmath>

#include "kernels/mma.cuh"

namespace kvroof::kernels {

/// Four lanes (same r, c = 0..3) share a row of an mma result.
__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
  return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(~0u, x, 1);
  return x + __shfl_xor_sync(~0u, x, 2);
}

/// State of the two rows (r, r + 8) this lane holds in one 16-row mma tile.
struct OnlineSoftmax {
  float max[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};         // this lane's columns only, until finish()
  float correction[2] = {1, 1};  // what O is multiplied with before the next P·V

  /// Largest score of row `half` in s [16, 8·kTiles].
  template <int kTiles>
  __device__ __forceinline__ static float row_max(const float (&s)[kTiles][4], int half) {
    float m = fmaxf(s[0][2 * half], s[0][2 * half + 1]);
#pragma unroll
    for (int t = 1; t < kTiles; ++t) m = fmaxf(m, fmaxf(s[t][2 * half], s[t][2 * half + 1]));
    return quad_max(m);
  }

  /// s [16, 8·kTiles] scores in, probabilities (relative to the new maximum) out.
  /// Returns whether any maximum of the warp moved; if not, O needs no correction.
  /// kMayBeEmpty: rows whose keys were all masked so far (maximum -inf) must yield zeros, not NaN.
  template <bool kMayBeEmpty, int kTiles>
  __device__ __forceinline__ bool update(float (&s)[kTiles][4], float scale) {
    const float m[2] = {row_max(s, 0), row_max(s, 1)};
    return update<kMayBeEmpty>(s, m, scale);
  }

  /// The same with the rows' largest new scores known; other warps may hold them.
  template <bool kMayBeEmpty, int kTiles>
  __device__ __forceinline__ bool update(float (&s)[kTiles][4], const float (&largest)[2],
                                         float scale) {
    bool moved = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float m = fmaxf(max[half], largest[half]);
      const float shift = kMayBeEmpty && m == -INFINITY ? 0.f : m * scale;
      correction[half] = exp2_approx(max[half] * scale - shift);
      moved |= m != max[half];
      max[half] = m;
      sum[half] *= correction[half];
#pragma unroll
      for (int t = 0; t < kTiles; ++t)
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          s[t][e] = exp2_approx(s[t][e] * scale - shift);
          sum[half] += s[t][e];
        }
    }
    return __any_sync(~0u, moved);
  }

  template <int kTiles>
  __device__ __forceinline__ void correct(float (&o)[kTiles][4]) const {
#pragma unroll
    for (int t = 0; t < kTiles; ++t)
#pragma unroll
      for (int e = 0; e < 4; ++e) o[t][e] *= correction[e / 2];
  }

  /// Sums over the four lanes of a row; afterwards `sum` is l of the whole row.
  __device__ __forceinline__ void finish() {
    sum[0] = quad_sum(sum[0]);
    sum[1] = quad_sum(sum[1]);
  }
  /// 1 / l; 0 for a row that saw no key, so that its output is zero.
  __device__ float inverse_sum(int half) const { return sum[half] > 0 ? 1 / sum[half] : 0.f; }
  /// log2 of the sum of exponentials in units of 2^x; -inf for a row that saw no key.
  __device__ float lse2(int half, float scale) const {
    return sum[half] > 0 ? max[half] * scale + log2f(sum[half]) : -INFINITY;
  }
};

}  // namespace kvroof::kernels
