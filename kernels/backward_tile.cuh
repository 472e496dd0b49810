// Tiles of the backward pass on mma.sync, and the products a warp does with them.
#pragma once
#include "kernels/online_softmax.cuh"
#include "kernels/tile.cuh"

namespace kvroof::kernels {

/// kM query rows by kN keys; warp w owns keys 16·w ...
template <int kD_, int kM_>
struct BackwardTile {
  static constexpr int kD = kD_, kM = kM_, kN = 128;
  static constexpr int kWarps = kN / 16, kThreads = 32 * kWarps;
  static constexpr int kColSteps = kD / 16, kRowSteps = kM / 16, kKeySteps = kN / 16;
  // dQ [kM, kD] as a grid of 2 x 4 warps
  static constexpr int kDqRows = kM / 2, kDqCols = kD / 4;
  static constexpr int kDqRowTiles = kDqRows / 16, kDqColSteps = kDqCols / 16;
  static constexpr int kDqQuads = kDqRowTiles * 2 * kDqColSteps;  // mma results a thread holds
  __host__ __device__ static int query_tiles(int s_q) { return (s_q + kM - 1) / kM; }
};

template <class T>
struct BackwardSmem {
  SharedTile<T::kN, T::kD> k, v;
  SharedTile<T::kM, T::kD> q[2], d_o[2];
  SharedTile<T::kN, T::kM> ds;  // dS^T
  float lse2[2][T::kM], delta[2][T::kM];
};

/// s [16 keys of this warp, kM queries] = A·B^T with both operands stored row by row.
template <class T, class A, class B>
__device__ __forceinline__ void transposed_product(float (&s)[2 * T::kRowSteps][4], const A& keys,
                                                   const B& queries) {
#pragma unroll
  for (int c = 0; c < T::kColSteps; ++c) {
    std::uint32_t a[4];
    load_matrices(a, keys.at(0, c));
#pragma unroll
    for (int n = 0; n < T::kRowSteps; ++n) {
      std::uint32_t b[4];
      load_matrices(b, queries.at(n, c));
      mma(s[2 * n], a, b[0], b[1]);
      mma(s[2 * n + 1], a, b[2], b[3]);
    }
  }
}

/// acc [16 keys of this warp, kD] += X·rows, X [16, kM] from registers, rows [kM, kD].
template <class T, class Rows>
__device__ __forceinline__ void add_gradient(float (&acc)[2 * T::kColSteps][4],
                                             const std::uint32_t (&x)[T::kRowSteps][4],
                                             const Rows& rows) {
#pragma unroll
  for (int n = 0; n < T::kRowSteps; ++n)
#pragma unroll
    for (int c = 0; c < T::kColSteps; ++c) {
      std::uint32_t b[4];
      load_matrices_transposed(b, rows.at(n, c));
      mma(acc[2 * c], x[n], b[0], b[1]);
      mma(acc[2 * c + 1], x[n], b[2], b[3]);
    }
}

/// [16, 8·2·kRowSteps] accumulators as A operands.
template <int kSteps>
__device__ __forceinline__ void pack_operand(std::uint32_t (&x)[kSteps][4],
                                             const float (&s)[2 * kSteps][4]) {
#pragma unroll
  for (int n = 0; n < kSteps; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      x[n][i] = pack_bf16(s[2 * n + i / 2][i % 2 * 2], s[2 * n + i / 2][i % 2 * 2 + 1]);
}

__device__ __forceinline__ void add_to_memory(float4* at, const float (&x)[4]) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(at), "f"(x[0]), "f"(x[1]),
               "f"(x[2]), "f"(x[3])
               : "memory");
#else
  float* to = reinterpret_cast<float*>(at);
#pragma unroll
  for (int i = 0; i < 4; ++i) atomicAdd(to + i, x[i]);
#endif
}

}  // namespace kvroof::kernels
