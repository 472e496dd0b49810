// Absorbed MLA decode on mma.sync: all heads attend to one latent row a token.
//                                                     model: model/attention/mla_decode.cpp
//   S = scale · q·c^T     o = softmax(S) · c[:, :512]     q [b, s_q, h_q, 576]   c: pages [.., 576]
// The h_q·s_q query rows of a request are rows of one matrix; a block takes 64 of them (16 where
// there are no more) over its split of the cache, so each token is read from L2 ceil(h_q·s_q / 64)
// times, as K and as V at once.
//   O of 64 rows is 64 x 512 fp32, half of an SM's registers. The warps are a grid of kRowGroups by
//   kColGroups: for S a warp takes its rows and 1 / kColGroups of the tile's keys, for O its rows
//   and 1 / kColGroups of the columns; maxima and P pass through shared memory in between.
//   HBM read   b·s_kv·576 elements + q + the block table       written   o, lse
// DeepSeek-V2 (arXiv:2405.04434) section 2.1.
#pragma once
#include "kernels/dependent_launch.cuh"
#include "kernels/divisor.cuh"
#include "kernels/mla_case.hpp"
#include "kernels/online_softmax.cuh"
#include "kernels/split_rows.cuh"
#include "kernels/tile.cuh"

namespace kvroof::kernels {

template <int kRowTiles_, int kRowGroups_, int kColGroups_, int kKeys_, int kCtasPerSm_>
struct MlaTile {
  static constexpr int kD = MlaData::kRow, kDv = MlaData::kLatent;
  static constexpr int kRowTiles = kRowTiles_;  // mma tiles of 16 rows a warp owns
  static constexpr int kRowGroups = kRowGroups_, kColGroups = kColGroups_;
  static constexpr int kRows = 16 * kRowTiles * kRowGroups;
  static constexpr int kKeys = kKeys_, kStages = 2, kCtasPerSm = kCtasPerSm_;
  static constexpr int kWarps = kRowGroups * kColGroups, kThreads = 32 * kWarps;
  static constexpr int kWarpKeys = kKeys / kColGroups, kWarpCols = kDv / kColGroups;
  static constexpr int kKeySteps = kWarpKeys / 16, kColSteps = kWarpCols / 16;
  static_assert(kWarpKeys % 16 == 0 && kThreads % 8 == 0 && kKeys % (kThreads / 8) == 0);
};

template <class T>
struct MlaSmem {
  SharedTile<T::kRows, T::kD> q;  // o passes through it on the way out
  SharedTile<T::kKeys, T::kD> keys[T::kStages];
  SharedTile<T::kRows, 64> p;  // kKeys columns of it
  float partial[T::kColGroups][T::kRows];
};

struct MlaParams {
  SplitParams split;  // q rows of 576, o rows of 512
  Divisor heads, splits;
  const bf16* cache;
  const int *table, *lengths;
  int max_pages, page_shift;
};

/// The packed query rows of one block. With one K/V head they are neighbours in q and o.
template <class T>
struct MlaRows {
  int request, first, count;
  __device__ explicit MlaRows(const SplitParams& p)
      : request(blockIdx.z),
        first(blockIdx.y * T::kRows),
        count(::min(T::kRows, p.s_q * p.h_q - first)) {}
  /// Number of the row in q and o.
  __device__ std::int64_t row(const SplitParams& p, int r) const {
    return static_cast<std::int64_t>(request) * p.s_q * p.h_q + first + r;
  }
};

/// Columns of both products of one warp's rows and its place in the block's grid of warps.
template <class T>
struct MlaWarp {
  int lane, row, col_group;  // first row of the block's tile
  float o[T::kRowTiles][2 * T::kColSteps][4] = {};
  OnlineSoftmax softmax[T::kRowTiles];
};

/// s [rows of this warp, its slice of the keys] = Q·K^T
template <class T>
__device__ __forceinline__ void mla_scores(float (&s)[T::kRowTiles][2 * T::kKeySteps][4],
                                           const MlaWarp<T>& w, const MlaSmem<T>& smem, int stage) {
  const auto q = a_cursor(smem.q, w.row, w.lane);
  const auto k = b_cursor(smem.keys[stage], w.col_group * T::kWarpKeys, w.lane);
#pragma unroll 1
  for (int group = 0; group < T::kD / 64; ++group)
#pragma unroll
    for (int c = 4 * group; c < 4 * group + 4; ++c) {
      std::uint32_t a[T::kRowTiles][4];
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m) load_matrices(a[m], q.at(m, c));
#pragma unroll
      for (int n = 0; n < T::kKeySteps; ++n) {
        std::uint32_t b[4];
        load_matrices(b, k.at(n, c));
#pragma unroll
        for (int m = 0; m < T::kRowTiles; ++m) {
          mma(s[m][2 * n], a[m], b[0], b[1]);
          mma(s[m][2 * n + 1], a[m], b[2], b[3]);
        }
      }
    }
}

/// f(m, half, row of the block) for the rows this lane holds parts of.
template <class T, class F>
__device__ __forceinline__ void for_rows(const MlaWarp<T>& w, const F& f) {
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) f(m, half, w.row + 16 * m + 8 * half + w.lane / 4);
}

/// P of the block's tile and the correction of O; all warps of a row group agree on the maxima.
template <class T>
__device__ __forceinline__ void mla_softmax(float (&s)[T::kRowTiles][2 * T::kKeySteps][4],
                                            MlaWarp<T>& w, MlaSmem<T>& smem, float scale) {
  for_rows(w, [&](int m, int half, int row) {
    const float largest = OnlineSoftmax::row_max(s[m], half);
    if (w.lane % 4 == 0) smem.partial[w.col_group][row] = largest;
  });
  __syncthreads();
  float largest[T::kRowTiles][2];
  for_rows(w, [&](int m, int half, int row) {
    largest[m][half] = smem.partial[0][row];
#pragma unroll
    for (int c = 1; c < T::kColGroups; ++c)
      largest[m][half] = fmaxf(largest[m][half], smem.partial[c][row]);
  });
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m)
    if (w.softmax[m].template update<true>(s[m], largest[m], scale)) w.softmax[m].correct(w.o[m]);
  for_rows(w, [&](int m, int half, int row) {
#pragma unroll
    for (int t = 0; t < 2 * T::kKeySteps; ++t) {
      const int chunk = w.col_group * T::kWarpKeys / 8 + t;
      char* at = reinterpret_cast<char*>(smem.p.data) + smem.p.offset(row, chunk);
      reinterpret_cast<std::uint32_t*>(at)[w.lane % 4] =
          pack_bf16(s[m][t][2 * half], s[m][t][2 * half + 1]);
    }
  });
  __syncthreads();
}

/// O [rows of this warp, its slice of the columns] += P·V
template <class T>
__device__ __forceinline__ void mla_values(MlaWarp<T>& w, const MlaSmem<T>& smem, int stage) {
  const auto p = a_cursor(smem.p, w.row, w.lane);
  const FragmentCursor v(smem.keys[stage], w.lane & 15,
                         (w.lane >> 4) + w.col_group * T::kWarpCols / 8);
#pragma unroll
  for (int n = 0; n < T::kKeys / 16; ++n) {
    std::uint32_t a[T::kRowTiles][4];
#pragma unroll
    for (int m = 0; m < T::kRowTiles; ++m) load_matrices(a[m], p.at(m, n));
#pragma unroll
    for (int c = 0; c < T::kColSteps; ++c) {
      std::uint32_t b[4];
      load_matrices_transposed(b, v.at(n, c));
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m) {
        mma(w.o[m][2 * c], a[m], b[0], b[1]);
        mma(w.o[m][2 * c + 1], a[m], b[2], b[3]);
      }
    }
  }
}

/// O / l and lse of the block's split: bf16 through the room of Q, or fp32 partial results.
template <class T>
__device__ __forceinline__ void mla_store(MlaWarp<T>& w, MlaSmem<T>& smem, const SplitParams& p,
                                          const MlaRows<T>& rows, float scale) {
  using Tile = SharedTile<T::kRows, T::kD>;
  const int split = blockIdx.x;
  __syncthreads();  // the maxima and Q have been read
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m) w.softmax[m].finish();
  for_rows(w, [&](int m, int half, int row) {
    if (w.lane % 4 == 0) smem.partial[w.col_group][row] = w.softmax[m].sum[half];
  });
  __syncthreads();
  for_rows(w, [&](int m, int half, int row) {
    if (row - w.lane / 4 >= rows.count) return;  // none of these eight rows exists
    OnlineSoftmax& state = w.softmax[m];
    state.sum[half] = 0;
#pragma unroll
    for (int c = 0; c < T::kColGroups; ++c) state.sum[half] += smem.partial[c][row];
    const float inverse = state.inverse_sum(half);
    const std::int64_t part = rows.row(p, row) * p.splits + split;
#pragma unroll
    for (int t = 0; t < 2 * T::kColSteps; ++t) {
      const float x = w.o[m][t][2 * half] * inverse, y = w.o[m][t][2 * half + 1] * inverse;
      if (p.splits > 1) {
        const int col = w.col_group * T::kWarpCols + 8 * t + 2 * (w.lane % 4);
        if (row < rows.count)
          *reinterpret_cast<float2*>(p.part_o + part * T::kDv + col) = make_float2(x, y);
      } else {
        char* at = reinterpret_cast<char*>(smem.q.data) +
                   Tile::offset(row, w.col_group * T::kWarpCols / 8 + t);
        reinterpret_cast<std::uint32_t*>(at)[w.lane % 4] = pack_bf16(x, y);
      }
    }
    if (w.col_group != 0 || w.lane % 4 != 0 || row >= rows.count) return;
    const float lse2 = state.lse2(half, scale);
    if (p.splits > 1) p.part_lse2[part] = lse2;
    else if (p.lse != nullptr) p.lse[part] = lse2 * kLn2;
  });
  if (p.splits > 1) return;
  __syncthreads();
  for (int row = threadIdx.x / 32; row < rows.count; row += T::kWarps) {
    bf16* out = p.o + rows.row(p, row) * T::kDv;
#pragma unroll
    for (int chunk = w.lane; chunk < T::kDv / 8; chunk += 32) {
      const char* from = reinterpret_cast<const char*>(smem.q.data) + Tile::offset(row, chunk);
      *reinterpret_cast<uint4*>(out + 8 * chunk) = *reinterpret_cast<const uint4*>(from);
    }
  }
}

/// One block per (split, kRows query rows, request).
template <class T>
__global__ __launch_bounds__(T::kThreads, T::kCtasPerSm) void mla_decode(const MlaParams p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<MlaSmem<T>*>(shared);
  const MlaRows<T> rows(p.split);
  const int length = p.lengths[rows.request], diagonal = length - p.split.s_q;
  const int tiles = (length + T::kKeys - 1) / T::kKeys;
  const int2 range = share_of(tiles, blockIdx.x, p.splits);
  const int first = range.x, last = range.y;
  const float scale = p.split.scale * kLog2e;  // exponents to base 2

  // Each thread copies its 16-byte column of the same few rows of every tile; their places in the
  // cache are looked up one tile ahead.
  constexpr int kRowsPerStep = T::kThreads / 8, kSteps = T::kKeys / kRowsPerStep;
  const int* pages = p.table + static_cast<std::int64_t>(rows.request) * p.max_pages;
  std::int64_t next[kSteps];
  const auto look_up = [&](int tile) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const int j = tile * T::kKeys + i * kRowsPerStep + threadIdx.x / 8;
      const int page_mask = (1 << p.page_shift) - 1;
      next[i] = tile < last && j < length
                    ? (static_cast<std::int64_t>(pages[j >> p.page_shift]) << p.page_shift) +
                          (j & page_mask)
                    : -1;
    }
  };
  const auto start_copy = [&](int tile) {
    if (tile < last) {
      auto& stage = smem.keys[tile % T::kStages];
#pragma unroll
      for (int i = 0; i < kSteps; ++i) {
        const bf16* from = p.cache + (next[i] < 0 ? 0 : next[i]) * T::kD;
#pragma unroll
        for (int c = 0; c < T::kD / 64; ++c) {
          const int chunk = 8 * c + threadIdx.x % 8;
          copy_async(stage.address(i * kRowsPerStep + threadIdx.x / 8, chunk), from + 8 * chunk,
                     next[i] >= 0);
        }
      }
    }
    commit_copies();
    look_up(tile + 1);
  };

  load_rows<T::kThreads>(smem.q, rows.count, threadIdx.x,
                         [&](int r) { return p.split.q + rows.row(p.split, r) * T::kD; });
  look_up(first);
  start_copy(first);

  const int warp = threadIdx.x / 32;
  MlaWarp<T> w{.lane = static_cast<int>(threadIdx.x % 32),
               .row = warp / T::kColGroups * 16 * T::kRowTiles,
               .col_group = warp % T::kColGroups};
  for (int tile = first; tile < last; ++tile) {
    wait_copies<0>();
    __syncthreads();  // this tile is complete, and all warps are done with the one before
    start_copy(tile + 1);
    float s[T::kRowTiles][2 * T::kKeySteps][4] = {};
    mla_scores<T>(s, w, smem, tile % T::kStages);
    if ((tile + 1) * T::kKeys > diagonal + 1) {
      for_rows(w, [&](int m, int half, int row) {
        const int newest = diagonal + p.heads.quotient(rows.first + row);
        const int key = tile * T::kKeys + w.col_group * T::kWarpKeys + 2 * (w.lane % 4);
#pragma unroll
        for (int t = 0; t < 2 * T::kKeySteps; ++t)
#pragma unroll
          for (int e = 0; e < 2; ++e)
            if (key + 8 * t + e > newest) s[m][t][2 * half + e] = -INFINITY;
      });
    }
    mla_softmax<T>(s, w, smem, scale);
    mla_values<T>(w, smem, tile % T::kStages);
  }
  wait_copies<0>();
  allow_next_kernel();
  mla_store<T>(w, smem, p.split, rows, scale);
}

}  // namespace kvroof::kernels
