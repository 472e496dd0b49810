// The FlashAttention-2 forward loop of one thread block (arXiv:2307.08691, Algorithm 1), shared by
// every prefill variant; what differs between them is which key tiles a block visits, which scores
// it masks, and where a key's row lies.
//
//   Q tile [kM, d] stays on chip            for each key tile, in the order of `tiles`:
//                                             S = Q·K^T   [kM, kN]              tensor cores
//                                             P, m, l <- online softmax         registers
//                                             O = O·2^(m-m') + P·V   [kM, d_v]  tensor cores
//   Each warp owns kM / kWarps query rows of S and O ("split Q"): no exchange between warps.
//   K and V tiles are shared by the block's warps; the next ones are copied while these are used.
//
// Per key tile: 2·kM·kN·(d + d_v) FLOP; 2·kN·(d + d_v) bytes from L2; kM·kN + 2·kM... exponentials
// (kM·kN for P, one per row and lane quad for the correction).
#pragma once
#include "kernels/online_softmax.cuh"
#include "kernels/tile.cuh"

namespace kvroof::kernels {

/// Sizes of a block and how it hides its latencies.
struct FlashShape {
  int d, m, n;  // m query rows, n keys a tile
  int warps = 4, ctas_per_sm = 2;
  int d_v = d;
  int q_steps = 0;  // of the d / 16 fragments of Q, so many stay in registers, where O leaves room;
                    // the others are read again from shared memory for every key tile
  int stages = 2;  // 2: the next K and V are copied during a tile. 1: V during Q·K^T and the next K
                   // during P·V, in half of the shared memory
  int ahead = 0;   // fragments of K and V that the source loads before their use; 0: ptxas decides
};

template <FlashShape kShape, class Number_ = Bf16>
struct FlashTile {
  using Number = Number_;
  static constexpr int kD = kShape.d, kDv = kShape.d_v, kM = kShape.m, kN = kShape.n;
  static constexpr int kWarps = kShape.warps, kThreads = 32 * kWarps;
  static constexpr int kCtasPerSm = kShape.ctas_per_sm;
  static constexpr int kQSteps = kShape.q_steps, kStages = kShape.stages, kAhead = kShape.ahead;
  static constexpr int kRowTiles = kM / (16 * kWarps);  // mma tiles of 16 rows a warp owns
  static constexpr int kKeyTiles = kN / 8, kColTiles = kDv / 8;
  static constexpr int kKeySteps = kN / 16, kColSteps = kD / 16, kOutSteps = kDv / 16;
  static_assert(kM % (16 * kWarps) == 0 && kN % 16 == 0 && kDv <= kD && kQSteps <= kColSteps);
};

template <class T>
struct FlashSmem {
  SharedTile<T::kM, T::kD> q;  // O passes through it on the way out
  SharedTile<T::kN, T::kD> k[T::kStages];
  SharedTile<T::kN, T::kDv> v[T::kStages];
};

/// Rows of K and V of one (request, K/V head), contiguous: row j at base + j·stride.
struct DenseRows {
  const bf16 *k, *v;
  std::int64_t k_stride, v_stride;
  __device__ const bf16* k_row(std::int64_t j) const { return k + j * k_stride; }
  __device__ const bf16* v_row(std::int64_t j) const { return v + j * v_stride; }
};

/// One warp's share of the block: rows of Q, S and O.
template <class T>
struct FlashWarp {
  float o[T::kRowTiles][T::kColTiles][4] = {};
  OnlineSoftmax softmax[T::kRowTiles];
};

/// Fragments of Q that stay in registers, 16 rows of one warp.
template <class T>
struct QSteps {
  std::uint32_t step[T::kQSteps > 0 ? T::kQSteps : 1][4];
};

/// S = Q·K^T. Fragments are loaded kAhead products before their use.
template <class T>
__device__ __forceinline__ void scores(float (&s)[T::kRowTiles][T::kKeyTiles][4],
                                       const QSteps<T> (&q)[T::kRowTiles],
                                       const FragmentCursor<SharedTile<T::kM, T::kD>>& q_tile,
                                       const FragmentCursor<SharedTile<T::kN, T::kD>>& k_tile) {
  constexpr int kCount = T::kColSteps * T::kKeySteps, kRing = T::kAhead + 1;
  std::uint32_t a[2][T::kRowTiles][4], b[kRing][4];
  const auto load = [&](int i) {
    const int c = i / T::kKeySteps, n = i % T::kKeySteps;
    if (n == 0)
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m) {
        if (c < T::kQSteps) {
#pragma unroll
          for (int e = 0; e < 4; ++e) a[c % 2][m][e] = q[m].step[c < T::kQSteps ? c : 0][e];
        } else {
          load_matrices(a[c % 2][m], q_tile.at(m, c));
        }
      }
    load_matrices(b[i % kRing], k_tile.at(n, c));
  };
#pragma unroll
  for (int i = 0; i < T::kAhead; ++i) load(i);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (i + T::kAhead < kCount) load(i + T::kAhead);
    const int c = i / T::kKeySteps, n = i % T::kKeySteps;
#pragma unroll
    for (int m = 0; m < T::kRowTiles; ++m) {
      T::Number::mma(s[m][2 * n], a[c % 2][m], b[i % kRing][0], b[i % kRing][1]);
      T::Number::mma(s[m][2 * n + 1], a[c % 2][m], b[i % kRing][2], b[i % kRing][3]);
    }
  }
}

/// O += P·V.
template <class T>
__device__ __forceinline__ void add_values(
    float (&o)[T::kRowTiles][T::kColTiles][4], const float (&p)[T::kRowTiles][T::kKeyTiles][4],
    const FragmentCursor<SharedTile<T::kN, T::kDv>>& v_tile) {
  constexpr int kCount = T::kKeySteps * T::kOutSteps, kRing = T::kAhead + 1;
  std::uint32_t a[T::kRowTiles][4], b[kRing][4];
  const auto load = [&](int i) {
    load_matrices_transposed(b[i % kRing], v_tile.at(i / T::kOutSteps, i % T::kOutSteps));
  };
#pragma unroll
  for (int i = 0; i < T::kAhead; ++i) load(i);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (i + T::kAhead < kCount) load(i + T::kAhead);
    const int n = i / T::kOutSteps, c = i % T::kOutSteps;
    if (c == 0)
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m) {
        const float(&lo)[4] = p[m][2 * n], (&hi)[4] = p[m][2 * n + 1];
        a[m][0] = T::Number::pack(lo[0], lo[1]);
        a[m][1] = T::Number::pack(lo[2], lo[3]);
        a[m][2] = T::Number::pack(hi[0], hi[1]);
        a[m][3] = T::Number::pack(hi[2], hi[3]);
      }
#pragma unroll
    for (int m = 0; m < T::kRowTiles; ++m) {
      T::Number::mma(o[m][2 * c], a[m], b[i % kRing][0], b[i % kRing][1]);
      T::Number::mma(o[m][2 * c + 1], a[m], b[i % kRing][2], b[i % kRing][3]);
    }
  }
}

/// Runs the loop for query rows [first_row, first_row + kM) of one head.
///   q_row(r)      pointer to the block's row r, for r < q_rows
///   tiles         count(), tile(i): the key tiles to visit, i from count() - 1 to 0;
///                 plain(tile): no score of it is hidden;
///                 mask(s, tile, row, key): hides the others
template <class T, class QRow, class Rows, class Tiles>
__device__ __forceinline__ void flash_loop(FlashWarp<T>& w, FlashSmem<T>& smem, int first_row,
                                           int q_rows, const QRow& q_row, const Rows& rows,
                                           int s_kv, const Tiles& tiles, float scale) {
  const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16 * T::kRowTiles;
  const auto load_k = [&](int i) {
    const int first = tiles.tile(i) * T::kN;
    load_rows<T::kThreads>(smem.k[i % T::kStages], s_kv - first, threadIdx.x,
                           [&](int r) { return rows.k_row(first + r); });
  };
  const auto load_v = [&](int i) {
    const int first = tiles.tile(i) * T::kN;
    load_rows<T::kThreads>(smem.v[i % T::kStages], s_kv - first, threadIdx.x,
                           [&](int r) { return rows.v_row(first + r); });
  };

  const int last = tiles.count() - 1;
  load_rows<T::kThreads>(smem.q, q_rows, threadIdx.x, q_row);
  if (last >= 0) {
    load_k(last);
    if constexpr (T::kStages == 2) load_v(last);
  }
  commit_copies();

  const auto q_tile = a_cursor(smem.q, warp_row, lane);
  QSteps<T> q[T::kRowTiles];

  for (int i = last; i >= 0; --i) {
    const int tile = tiles.tile(i);
    wait_copies<0>();
    __syncthreads();  // this K (and V) is complete, and all warps are done with what is replaced
    if constexpr (T::kStages == 2) {
      if (i > 0) load_k(i - 1), load_v(i - 1);
    } else {
      load_v(i);
    }
    commit_copies();
    if (T::kQSteps > 0 && i == last) {
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m)
#pragma unroll
        for (int c = 0; c < T::kQSteps; ++c) load_matrices(q[m].step[c], q_tile.at(m, c));
    }

    float s[T::kRowTiles][T::kKeyTiles][4] = {};
    scores<T>(s, q, q_tile, b_cursor(smem.k[i % T::kStages], 0, lane));
    if constexpr (T::kStages == 1) {
      wait_copies<0>();
      __syncthreads();  // V is complete, and all warps are done with K
      if (i > 0) load_k(i - 1);
      commit_copies();
    }

    if (tiles.plain(tile)) {
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m)
        if (w.softmax[m].template update<false>(s[m], scale)) w.softmax[m].correct(w.o[m]);
    } else {
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m) {
        tiles.mask(s[m], tile, first_row + warp_row + 16 * m + lane / 4, 2 * (lane % 4));
        if (w.softmax[m].template update<true>(s[m], scale)) w.softmax[m].correct(w.o[m]);
      }
    }
    add_values<T>(w.o, s, a_cursor(smem.v[i % T::kStages], 0, lane));
  }
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m) w.softmax[m].finish();
}

/// O / l, through the warp's own rows of shared memory, in 16-byte writes; lse(t) in natural units.
///   out_row(r), write_lse(r, value): r counts the block's rows, called for r < q_rows only
template <class T, class OutRow, class WriteLse>
__device__ __forceinline__ void store_output(const FlashWarp<T>& w, FlashSmem<T>& smem, int q_rows,
                                             float scale, const OutRow& out_row,
                                             const WriteLse& write_lse) {
  using Tile = SharedTile<T::kM, T::kD>;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_row = warp * 16 * T::kRowTiles;
  wait_copies<0>();
  __syncthreads();  // Q has been read by all, and (without any key tile) has arrived
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = warp_row + 16 * m + 8 * half + lane / 4;
      const float inverse = w.softmax[m].inverse_sum(half);
      if (lane % 4 == 0 && row < q_rows) write_lse(row, w.softmax[m].lse2(half, scale) * kLn2);
#pragma unroll
      for (int t = 0; t < T::kColTiles; ++t) {
        const std::uint32_t pair =
            T::Number::pack(w.o[m][t][2 * half] * inverse, w.o[m][t][2 * half + 1] * inverse);
        char* chunk = reinterpret_cast<char*>(smem.q.data) + Tile::offset(row, t);
        reinterpret_cast<std::uint32_t*>(chunk)[lane % 4] = pair;
      }
    }
  __syncwarp();
#pragma unroll
  for (int i = lane; i < 16 * T::kRowTiles * T::kColTiles; i += 32) {
    const int row = warp_row + i / T::kColTiles, chunk = i % T::kColTiles;
    if (row >= q_rows) break;
    const char* from = reinterpret_cast<const char*>(smem.q.data) + Tile::offset(row, chunk);
    *reinterpret_cast<uint4*>(out_row(row) + chunk * Tile::kChunk) =
        *reinterpret_cast<const uint4*>(from);
  }
}

}  // namespace kvroof::kernels
