// Online softmax over scores whose product was transposed, S^T [keys, query rows]: a lane holds
// several keys of two query rows, instead of several rows of a few keys.
//   m' = max(m, max_j s_j)   l' = 2^(m - m')·l + sum_j 2^(s_j - m')   O' = 2^(m - m')·O + V^T·P^T
#pragma once
#include <cmath>

#include "kernels/mma.cuh"

namespace kvroof::kernels {

/// Online softmax over S^T: of the two query rows 2c, 2c + 1 whose scores of keys g and g + 8 a
/// lane holds; the eight lanes of one c share them.
struct RowPair {
  float max[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0}, zeros[2] = {0, 0};  // this lane's keys only, until finish()
  float correction[2] = {1, 1};

  __device__ __forceinline__ static float over_keys(float x, bool largest) {
#pragma unroll
    for (int lanes = 4; lanes < 32; lanes *= 2) {
      const float y = __shfl_xor_sync(~0u, x, lanes);
      x = largest ? fmaxf(x, y) : x + y;
    }
    return x;
  }

  /// Scores in, probabilities (relative to the new maximum) out; whether any maximum of the warp
  /// moved. kMayBeEmpty: as in OnlineSoftmax.
  template <bool kMayBeEmpty, int kTiles>
  __device__ __forceinline__ bool update(float (&s)[kTiles][4], float scale) {
    bool moved = false;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float m = fmaxf(s[0][i], s[0][i + 2]);
#pragma unroll
      for (int u = 1; u < kTiles; ++u) m = fmaxf(m, fmaxf(s[u][i], s[u][i + 2]));
      m = fmaxf(max[i], over_keys(m, true));
      const float shift = kMayBeEmpty && m == -INFINITY ? 0.f : m * scale;
      correction[i] = exp2_approx(max[i] * scale - shift);
      moved |= m != max[i];
      max[i] = m;
      sum[i] *= correction[i], zeros[i] *= correction[i];
#pragma unroll
      for (int u = 0; u < kTiles; ++u)
#pragma unroll
        for (int e = i; e < 4; e += 2) {
          s[u][e] = exp2_approx(s[u][e] * scale - shift);
          sum[i] += s[u][e];
        }
    }
    return __any_sync(~0u, moved);
  }
  template <int kTiles>
  __device__ __forceinline__ void correct(float (&o)[kTiles][4]) const {
#pragma unroll
    for (int t = 0; t < kTiles; ++t)
#pragma unroll
      for (int e = 0; e < 4; ++e) o[t][e] *= correction[e % 2];
  }
  __device__ __forceinline__ void finish() {
#pragma unroll
    for (int i = 0; i < 2; ++i)
      sum[i] = over_keys(sum[i], false), zeros[i] = over_keys(zeros[i], false);
  }
};

}  // namespace kvroof::kernels
