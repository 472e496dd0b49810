// Decode attention over a slice of the cache, shared by every decode variant; what differs between
// them is where a key's row lies and which keys count.
//
//   q [rows <= 16, d]: the h_q / h_kv heads of one K/V head (times s_q tokens), padded to one mma
//     tile
//   for each 32-key tile of this warp:
//     S = q·K^T   P, m, l <- online softmax   O = O·2^(m-m') + P·V
//
// The cost is reading K and V once, so everything serves bytes in flight: each warp owns a ring of
// kStages tiles in shared memory and runs through its own tiles (warp w takes w, w + kWarps, ...)
// without ever waiting for another warp. The warps' partial results meet once, at the end.
#pragma once
#include <type_traits>

#include "kernels/dependent_launch.cuh"
#include "kernels/key_rows.cuh"
#include "kernels/online_softmax.cuh"
#include "kernels/split_merge.cuh"
#include "kernels/split_rows.cuh"
#include "kernels/tile.cuh"

namespace kvroof::kernels {

template <int kD_, int kKeys_, int kWarps_, int kStages_, int kCtasPerSm_>
struct SplitTile {
  static constexpr int kD = kD_, kRows = 16, kKeys = kKeys_;
  static constexpr int kWarps = kWarps_, kThreads = 32 * kWarps, kStages = kStages_;
  static constexpr int kCtasPerSm = kCtasPerSm_;
  static constexpr int kColTiles = kD / 8, kColSteps = kD / 16;
  static constexpr int kKeyTiles = kKeys / 8, kKeySteps = kKeys / 16;
  static constexpr int kKeysLog2 = kKeys == 16 ? 4 : 5;
  static constexpr int kStride = kKeys * kWarps;  // from one tile of a warp to its next
  static_assert(kKeys == 16 || kKeys == 32, "one lane looks up one key's row");
};

/// 16 keys of a warp's tile and three stages: 2 x 96 KiB of shared memory an SM, of which 128 KiB
/// are in flight; the H200 wants more than 32.
template <int kD>
using DecodeTile = std::conditional_t<
    kD == 64, SplitTile<64, 16, 8, 3, 2>,
    std::conditional_t<kD == 128, SplitTile<128, 16, 4, 3, 2>, SplitTile<256, 16, 2, 3, 2>>>;

template <class T>
struct SplitSmem {
  struct Stage {
    SharedTile<T::kKeys, T::kD> k, v;
  };
  union Warp {
    Stage stage[T::kStages];
    typename WarpResult<T>::Type result;
  };
  Warp warp[T::kWarps];
};

/// Starts the copy of one tile of keys into a stage. Lane j knows the number of key j's row in the
/// cache and hands it to the lanes that copy that row.
template <class T>
__device__ __forceinline__ void load_stage(typename SplitSmem<T>::Stage& stage, const bf16* k,
                                           const bf16* v, int row_of_lane, int valid, int lane) {
  using Tile = SharedTile<T::kKeys, T::kD>;
  constexpr int kLanesPerRow = Tile::kChunks < 32 ? Tile::kChunks : 32;
  constexpr int kRowsPerStep = 32 / kLanesPerRow;
#pragma unroll
  for (int step = 0; step < T::kKeys / kRowsPerStep; ++step) {
    const int r = step * kRowsPerStep + lane / kLanesPerRow;
    const std::int64_t row = __shfl_sync(~0u, row_of_lane, r);
    const int chunk = lane % kLanesPerRow;
    const std::int64_t from = row * T::kD + chunk * Tile::kChunk;
    copy_async(stage.k.address(r, chunk), k + from, r < valid);
    copy_async(stage.v.address(r, chunk), v + from, r < valid);
  }
}

/// A operand [16, kD] straight from global memory; row r is missing where q_row(r) is null.
template <class T, class QRow>
__device__ __forceinline__ void load_q(std::uint32_t (&q)[T::kColSteps][4], const QRow& q_row,
                                       int lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const bf16* row = q_row(lane / 4 + 8 * half);
#pragma unroll
    for (int c = 0; c < T::kColSteps; ++c)
#pragma unroll
      for (int hi = 0; hi < 2; ++hi) {
        const int col = 16 * c + 8 * hi + 2 * (lane % 4);
        q[c][2 * hi + half] =
            row == nullptr ? 0 : *reinterpret_cast<const std::uint32_t*>(row + col);
      }
  }
}

/// One warp's walk over its tiles of keys [begin, end).
///   q_row(r)    pointer to query row r, or null       rows.next()  row numbers of its next tile
///   plain(j, n) all rows see keys [j, j + n)          sees(r, j)   query row r sees key j
template <class T, class QRow, class Rows, class Plain, class Sees>
__device__ __forceinline__ void split_loop(float (&o)[T::kColTiles][4], OnlineSoftmax& softmax,
                                           typename SplitSmem<T>::Warp& smem, const QRow& q_row,
                                           const bf16* k, const bf16* v, Rows rows, int begin,
                                           int end, const Plain& plain, const Sees& sees,
                                           float scale) {
  const int lane = threadIdx.x % 32;
  constexpr int kStride = T::kStride;
  const int first = begin + threadIdx.x / 32 * T::kKeys;

  int load_key = first, load_stage_idx = 0;
  const auto start_next = [&] {
    if (load_key < end)
      load_stage<T>(smem.stage[load_stage_idx], k, v, rows.next(), end - load_key, lane);
    commit_copies();
    load_key += kStride;
    load_stage_idx = load_stage_idx + 1 == T::kStages ? 0 : load_stage_idx + 1;
  };
#pragma unroll
  for (int i = 0; i < T::kStages - 1; ++i) start_next();

  std::uint32_t q[T::kColSteps][4];
  load_q<T>(q, q_row, lane);

  int stage_idx = 0;
  for (int key = first; key < end; key += kStride) {
    wait_copies<T::kStages - 2>();
    __syncwarp();  // the oldest stage has arrived; the one before it has been read by all lanes
    start_next();
    auto& stage = smem.stage[stage_idx];
    stage_idx = stage_idx + 1 == T::kStages ? 0 : stage_idx + 1;

    float s[T::kKeyTiles][4] = {};
    const auto k_tile = b_cursor(stage.k, 0, lane);
#pragma unroll
    for (int c = 0; c < T::kColSteps; ++c)
#pragma unroll
      for (int n = 0; n < T::kKeySteps; ++n) {
        std::uint32_t b[4];
        load_matrices(b, k_tile.at(n, c));
        mma(s[2 * n], q[c], b[0], b[1]);
        mma(s[2 * n + 1], q[c], b[2], b[3]);
      }

    bool moved;
    if (key + T::kKeys <= end && plain(key, T::kKeys)) {
      moved = softmax.update<false>(s, scale);
    } else {
#pragma unroll
      for (int t = 0; t < T::kKeyTiles; ++t)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int j = key + 8 * t + 2 * (lane % 4) + e % 2, r = lane / 4 + e / 2 * 8;
          if (j >= end || !sees(r, j)) s[t][e] = -INFINITY;
        }
      moved = softmax.update<true>(s, scale);
    }
    if (moved) softmax.correct(o);

    const auto v_tile = a_cursor(stage.v, 0, lane);
#pragma unroll
    for (int n = 0; n < T::kKeySteps; ++n) {
      const std::uint32_t p[4] = {
          pack_bf16(s[2 * n][0], s[2 * n][1]), pack_bf16(s[2 * n][2], s[2 * n][3]),
          pack_bf16(s[2 * n + 1][0], s[2 * n + 1][1]), pack_bf16(s[2 * n + 1][2], s[2 * n + 1][3])};
#pragma unroll
      for (int c = 0; c < T::kColSteps; ++c) {
        std::uint32_t b[4];
        load_matrices_transposed(b, v_tile.at(n, c));
        mma(o[2 * c], p, b[0], b[1]);
        mma(o[2 * c + 1], p, b[2], b[3]);
      }
    }
  }
  wait_copies<0>();
  softmax.finish();
}

/// One block per (split, 16 packed query rows, request and K/V head). Cache gives
///   length(request), longest()     keys the last query sees, of one request and at most
///   rows of keys                   by walk_rows
/// Lengths and block table must not be written by the kernel before this one in the stream: they
/// are read while it ends.
/// Packed row r is head kv_head·G + r % G of token r / G, G = h_q / h_kv; token t sees the keys
/// j <= length - s_q + t.
template <class T, class Cache>
__global__ __launch_bounds__(T::kThreads, T::kCtasPerSm) void attend_split(const SplitParams p,
                                                                           const SplitDivisors by,
                                                                           const Cache cache) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<SplitSmem<T>*>(shared);
  const auto rows = PackedRows::of<T::kRows>(p, by);
  const int own = threadIdx.x / 32 * T::kKeys;
  const int likely = split_range<T>(cache.longest(), blockIdx.x, by.splits).x + own;
  auto walk = walk_rows<T>(cache, rows.request, rows.kv_head, likely);
  const int length = cache.length(rows.request), diagonal = length - p.s_q;
  const int2 range = split_range<T>(length, blockIdx.x, by.splits);
  walk.start(range.x + own);
  const float scale = p.scale * kLog2e;  // exponents to base 2

  float o[T::kColTiles][4] = {};
  OnlineSoftmax softmax;
  auto& mine = smem.warp[threadIdx.x / 32];
  wait_for_previous_kernel();  // which may have written q, K and V
  split_loop<T>(
      o, softmax, mine,
      [&](int r) { return r < rows.count ? p.q + rows.row(p, r) * T::kD : nullptr; }, cache.k,
      cache.v, walk, range.x, range.y, [&](int j, int n) { return j + n <= diagonal + 1; },
      [&](int r, int j) { return j <= diagonal + rows.token(r); }, scale);
  allow_next_kernel();
  publish<T>(mine.result, o, softmax, scale);
  store_merged<T>(p, rows, smem);
}

}  // namespace kvroof::kernels
