// Tiles of the backward pass on mma.sync, and the products a warp does with them.
//
// Eight warps stand in a grid of kN / 32 by kAcross over each of the five products of a tile, so
// that a warp's share has 32 rows and every fragment it loads serves two of them:
//   S^T, dO·V^T  [kN keys, kM queries]     dK, dV [kN keys, kD]     (grid over keys)
//   dQ           [kM queries, kD]          2 x 4 warps
#pragma once
#include "kernels/online_softmax.cuh"
#include "kernels/tile.cuh"

namespace kvroof::kernels {

/// kM query rows by kN keys.
template <int kD_, int kM_, int kN_, class Number_>
struct BackwardTile {
  using Number = Number_;
  static constexpr int kD = kD_, kM = kM_, kN = kN_;
  static constexpr int kWarps = 8, kThreads = 32 * kWarps;
  static constexpr int kAlong = kN / 32, kAcross = kWarps / kAlong;
  static constexpr int kColSteps = kD / 16, kRowSteps = kM / 16, kKeySteps = kN / 16;
  static constexpr int kQueries = kM / kAcross, kCols = kD / kAcross;  // of a warp
  static constexpr int kDqRows = kM / 2, kDqCols = kD / 4;
  static constexpr int kDqRowTiles = kDqRows / 16, kDqColSteps = kDqCols / 16;
  static constexpr int kDqQuads = kDqRowTiles * 2 * kDqColSteps;  // mma results a thread holds
  static_assert(kQueries % 16 == 0 && kCols % 16 == 0);
  __host__ __device__ static int query_tiles(int s_q) { return (s_q + kM - 1) / kM; }
};

template <class T>
struct BackwardSmem {
  SharedTile<T::kN, T::kD> k, v;
  SharedTile<T::kM, T::kD> q[2], d_o[2];
  SharedTile<T::kN, T::kM> p, ds;  // P^T, dS^T
  float lse2[2][T::kM], delta[2][T::kM];
};

/// acc [16·kRows, 16·kCols] += A·B of kSteps steps; load_a(a, row tile, step), load_b(b, step,
/// column step).
template <class Number, int kSteps, int kRows, int kCols2, class LoadA, class LoadB>
__device__ __forceinline__ void add_product(float (&acc)[kRows][kCols2][4], const LoadA& load_a,
                                            const LoadB& load_b) {
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    std::uint32_t a[kRows][4];
#pragma unroll
    for (int m = 0; m < kRows; ++m) load_a(a[m], m, step);
#pragma unroll
    for (int c = 0; c < kCols2 / 2; ++c) {
      std::uint32_t b[4];
      load_b(b, step, c);
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        Number::mma(acc[m][2 * c], a[m], b[0], b[1]);
        Number::mma(acc[m][2 * c + 1], a[m], b[2], b[3]);
      }
    }
  }
}

/// x [32, 8·kTiles], rows and columns of a warp, rounded, to a tile that other warps read.
template <class Number, class Tile, int kTiles>
__device__ __forceinline__ void share(Tile& tile, const float (&x)[2][kTiles][4], int row,
                                      int column, int lane) {
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int t = 0; t < kTiles; ++t)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        char* chunk = reinterpret_cast<char*>(tile.data) +
                      tile.offset(row + 16 * m + lane / 4 + 8 * half, column / 8 + t);
        reinterpret_cast<std::uint32_t*>(chunk)[lane % 4] =
            Number::pack(x[m][t][2 * half], x[m][t][2 * half + 1]);
      }
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
