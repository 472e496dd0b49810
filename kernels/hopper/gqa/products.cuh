// GQA decode: S = q·K^T and O += P·V of one tile, on mma.sync.
#pragma once
#include "kernels/hopper/gqa/shared.cuh"

namespace kvroof::kernels::gqa_tma {

/// This lane's ldmatrix address in a tile: row, first chunk; steps of 16 columns are an XOR.
template <class T>
__device__ __forceinline__ std::uint32_t cursor(const typename Smem<T>::Rows& tile, int row,
                                                int chunk) {
  return hopper::shared_address(&tile[0][row][0]) + ((chunk ^ (row & 7)) << 4);
}
template <class T>
__device__ __forceinline__ std::uint32_t at(std::uint32_t cursor, int row_step, int column_step) {
  return (cursor ^ (column_step % 4 << 5)) + column_step / 4 * (T::kKeys * 128) + row_step * 2048;
}

/// S = q·K^T, in two sums of which each takes every other step, so that no mma waits for long.
template <class T>
__device__ __forceinline__ void scores(float (&s)[T::kKeys / 8][4],
                                       const std::uint32_t (&q)[T::kD / 16][4],
                                       const typename Smem<T>::Rows& k, int lane) {
  const std::uint32_t from = cursor<T>(k, (lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1);
  float odd[T::kKeys / 8][4] = {};
#pragma unroll
  for (int c = 0; c < T::kD / 16; ++c)
#pragma unroll
    for (int n = 0; n < T::kKeys / 16; ++n) {
      std::uint32_t b[4];
      load_matrices(b, at<T>(from, n, c));
      auto& sum = c % 2 == 0 ? s : odd;
      mma(sum[2 * n], q[c], b[0], b[1]);
      mma(sum[2 * n + 1], q[c], b[2], b[3]);
    }
#pragma unroll
  for (int t = 0; t < T::kKeys / 8; ++t)
#pragma unroll
    for (int e = 0; e < 4; ++e) s[t][e] += odd[t][e];
}

/// O += P·V.
template <class T>
__device__ __forceinline__ void add_values(float (&o)[T::kD / 8][4],
                                           const float (&s)[T::kKeys / 8][4],
                                           const typename Smem<T>::Rows& v, int lane) {
  const std::uint32_t from = cursor<T>(v, lane & 15, lane >> 4);
#pragma unroll
  for (int n = 0; n < T::kKeys / 16; ++n) {
    const auto& left = s[2 * n];
    const auto& right = s[2 * n + 1];
    const std::uint32_t a[4] = {pack_bf16(left[0], left[1]), pack_bf16(left[2], left[3]),
                                pack_bf16(right[0], right[1]), pack_bf16(right[2], right[3])};
#pragma unroll
    for (int c = 0; c < T::kD / 16; ++c) {
      std::uint32_t b[4];
      load_matrices_transposed(b, at<T>(from, n, c));
      mma(o[2 * c], a, b[0], b[1]);
      mma(o[2 * c + 1], a, b[2], b[3]);
    }
  }
}

/// Rows of V past the last key: a page may hold anything there, and 0 · it must be 0.
template <class T>
__device__ __forceinline__ void clear_rows(typename Smem<T>::Rows& v, int from, int lane) {
  for (int i = lane; i < (T::kKeys - from) * T::kD / 8; i += 32) {
    const int chunk = i % (T::kD / 8);
    *reinterpret_cast<uint4*>(&v[chunk / 8][from + i / (T::kD / 8)][chunk % 8 * 8]) =
        make_uint4(0, 0, 0, 0);
  }
  hopper::fence_proxy_async();  // TMA writes there next
  __syncwarp();
}

}  // namespace kvroof::kernels::gqa_tma
