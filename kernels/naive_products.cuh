// The tensor-core products and the row reduction that naive attention, forward and backward, is
// made of: one kernel a product, every matrix in memory.
#pragma once
#include "kernels/flash_loop.cuh"

namespace kvroof::kernels {

/// s [b·h_q, s_q, columns], columns = s_kv rounded up to 8; the others as in attention/naive.cu.
struct NaiveParams {
  const bf16 *q, *k, *v;
  bf16 *o, *s;
  int group, s_q, s_kv, columns;  // group: h_q / h_kv
  bool causal;
  float scale;

  /// K/V head of a query head, requests counted through. A division runs on the XU pipe.
  __device__ int kv_matrix(int matrix) const { return group == 1 ? matrix : matrix / group; }
};

template <int kD>
using ScoreTile = FlashTile<FlashShape{.d = kD, .m = 128, .n = 64, .ctas_per_sm = 1}>;
template <int kD>
struct ScoreSmem {
  SharedTile<128, kD> q;
  SharedTile<64, kD> k;
};
template <int kD>
struct OutputSmem {
  SharedTile<64, 64> p[2];
  SharedTile<64, kD> v[2];
};

/// S = scale·Q·K^T, one block per 128 x 64 scores.
template <int kD>
__global__ __launch_bounds__(128) void score_product(const NaiveParams p) {
  using T = ScoreTile<kD>;
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<ScoreSmem<kD>*>(shared);
  const int row = blockIdx.y * T::kM, key = blockIdx.x * T::kN, matrix = blockIdx.z;
  const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16 * T::kRowTiles;
  const bf16* q = p.q + (static_cast<std::int64_t>(matrix) * p.s_q + row) * kD;
  const bf16* k = p.k + (static_cast<std::int64_t>(p.kv_matrix(matrix)) * p.s_kv + key) * kD;
  load_rows<128>(smem.q, p.s_q - row, threadIdx.x, [&](int r) { return q + r * kD; });
  load_rows<128>(smem.k, p.s_kv - key, threadIdx.x, [&](int r) { return k + r * kD; });
  commit_copies();
  wait_copies<0>();
  __syncthreads();

  float s[T::kRowTiles][T::kKeyTiles][4] = {};
  const QSteps<T> unused[T::kRowTiles] = {};
  scores<T>(s, unused, a_cursor(smem.q, warp_row, lane), b_cursor(smem.k, 0, lane));

  bf16* out = p.s + static_cast<std::int64_t>(matrix) * p.s_q * p.columns;
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + warp_row + 16 * m + 8 * half + lane / 4;
#pragma unroll
      for (int t = 0; t < T::kKeyTiles; ++t) {
        const int j = key + 8 * t + 2 * (lane % 4);
        if (r < p.s_q && j < p.columns)
          *reinterpret_cast<std::uint32_t*>(out + static_cast<std::int64_t>(r) * p.columns + j) =
              pack_bf16(s[m][t][2 * half] * p.scale, s[m][t][2 * half + 1] * p.scale);
      }
    }
}

/// Sum or maximum over a block of 256 threads.
__device__ __forceinline__ float block_reduce(float x, bool sum) {
  __shared__ float of_warp[8];
#pragma unroll
  for (int d = 16; d > 0; d /= 2) {
    const float y = __shfl_xor_sync(~0u, x, d);
    x = sum ? x + y : fmaxf(x, y);
  }
  __syncthreads();  // the last reduction's values have been read
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
  __syncthreads();
  x = of_warp[0];
#pragma unroll
  for (int w = 1; w < 8; ++w) x = sum ? x + of_warp[w] : fmaxf(x, of_warp[w]);
  return x;
}

/// O = P·V, one block per 64 rows; the next 64 keys are copied while these are used.
template <int kD>
__global__ __launch_bounds__(128) void output_product(const NaiveParams p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<OutputSmem<kD>*>(shared);
  const int row = blockIdx.x * 64, matrix = blockIdx.y;
  const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16;
  const bf16* s = p.s + (static_cast<std::int64_t>(matrix) * p.s_q + row) * p.columns;
  const bf16* v = p.v + static_cast<std::int64_t>(p.kv_matrix(matrix)) * p.s_kv * kD;
  const auto load = [&](int i) {
    const int key = 64 * i, chunk = threadIdx.x % 8;
#pragma unroll
    for (int r = threadIdx.x / 8; r < 64; r += 16) {
      const bool in = row + r < p.s_q && key + 8 * chunk < p.columns;
      copy_async(smem.p[i % 2].address(r, chunk),
                 in ? s + static_cast<std::int64_t>(r) * p.columns + key + 8 * chunk : s, in);
    }
    load_rows<128>(smem.v[i % 2], p.s_kv - key, threadIdx.x,
                   [&](int r) { return v + static_cast<std::int64_t>(key + r) * kD; });
    commit_copies();
  };

  float o[kD / 8][4] = {};
  const int tiles = (p.s_kv + 63) / 64;
  load(0);
  for (int i = 0; i < tiles; ++i) {
    wait_copies<0>();
    __syncthreads();
    if (i + 1 < tiles) load(i + 1);
    const auto p_tile = a_cursor(smem.p[i % 2], warp_row, lane);
    const auto v_tile = a_cursor(smem.v[i % 2], 0, lane);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      std::uint32_t a[4];
      load_matrices(a, p_tile.at(0, n));
#pragma unroll
      for (int c = 0; c < kD / 16; ++c) {
        std::uint32_t b[4];
        load_matrices_transposed(b, v_tile.at(n, c));
        mma(o[2 * c], a, b[0], b[1]);
        mma(o[2 * c + 1], a, b[2], b[3]);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + warp_row + 8 * half + lane / 4;
    if (r >= p.s_q) continue;
    bf16* out = p.o + (static_cast<std::int64_t>(matrix) * p.s_q + r) * kD + 2 * (lane % 4);
#pragma unroll
    for (int t = 0; t < kD / 8; ++t)
      *reinterpret_cast<std::uint32_t*>(out + 8 * t) =
          pack_bf16(o[t][2 * half], o[t][2 * half + 1]);
  }
}

/// P in p.s and o: all three kernels. d is 64 or 128.
void launch_naive(const NaiveParams&, int d, int matrices, cudaStream_t);

}  // namespace kvroof::kernels
