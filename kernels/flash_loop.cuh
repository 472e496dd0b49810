// The FlashAttention-2 forward loop of one thread block (arXiv:2307.08691, Algorithm 1), shared by
// every prefill variant; what differs between them is which key tiles a block visits, which scores
// it masks, and where a key's row lies.
//
//   Q tile [kM, d] stays on chip            for each key tile, last to first:
//                                             S = Q·K^T        [kM, kN]   tensor cores
//                                             P, m, l <- online softmax   registers
//                                             O = O·2^(m-m') + P·V [kM, d_v] tensor cores
//   Each warp owns kM / kWarps query rows of S and O ("split Q"): no exchange between warps.
//   K and V tiles are shared by the block's warps; the next pair is copied while this one is used.
//
// Per key tile: 2·kM·kN·(d + d_v) FLOP; 2·kN·(d + d_v) bytes from L2; kM·kN + 2·kM... exponentials
// (kM·kN for P, one per row and lane quad for the correction).
#pragma once
#include "kernels/online_softmax.cuh"
#include "kernels/tile.cuh"

namespace kvroof::kernels {

/// kWarps warps share kM query rows; two K/V stages in shared memory.
/// kQInRegisters: Q fragments stay in registers, where O leaves room; else they are read again from
/// shared memory for every key tile.
template <int kD_, int kM_, int kN_, int kWarps_, bool kQInRegisters_, int kCtasPerSm_,
          int kDv_ = kD_>
struct FlashTile {
  static constexpr int kD = kD_, kDv = kDv_, kM = kM_, kN = kN_;
  static constexpr int kWarps = kWarps_, kThreads = 32 * kWarps;
  static constexpr int kCtasPerSm = kCtasPerSm_;
  static constexpr int kRowTiles = kM / (16 * kWarps);  // mma tiles of 16 rows a warp owns
  static constexpr int kKeyTiles = kN / 8, kColTiles = kDv / 8;
  static constexpr int kKeySteps = kN / 16, kColSteps = kD / 16, kOutSteps = kDv / 16;
  static constexpr bool kQInRegisters = kQInRegisters_;
  static_assert(kM % (16 * kWarps) == 0 && kN % 16 == 0 && kDv <= kD);
};

template <class T>
struct FlashSmem {
  SharedTile<T::kM, T::kD> q;  // O passes through it on the way out
  SharedTile<T::kN, T::kD> k[2];
  SharedTile<T::kN, T::kDv> v[2];
};

/// Rows of K and V of one (request, K/V head), contiguous: row j at base + j·stride.
struct DenseRows {
  const bf16 *k, *v;
  std::int64_t k_stride, v_stride;
  __device__ const bf16* k_row(int j) const { return k + j * k_stride; }
  __device__ const bf16* v_row(int j) const { return v + j * v_stride; }
};

/// One warp's share of the block: rows of Q, S and O.
template <class T>
struct FlashWarp {
  float o[T::kRowTiles][T::kColTiles][4] = {};
  OnlineSoftmax softmax[T::kRowTiles];
};

template <class T>
__device__ __forceinline__ void scores(float (&s)[T::kRowTiles][T::kKeyTiles][4],
                                       const std::uint32_t (&q)[T::kRowTiles][T::kColSteps][4],
                                       const FragmentCursor<SharedTile<T::kM, T::kD>>& q_tile,
                                       const FragmentCursor<SharedTile<T::kN, T::kD>>& k_tile) {
#pragma unroll
  for (int c = 0; c < T::kColSteps; ++c) {
    std::uint32_t a[T::kRowTiles][4];
#pragma unroll
    for (int m = 0; m < T::kRowTiles; ++m) {
      if constexpr (T::kQInRegisters) {
#pragma unroll
        for (int e = 0; e < 4; ++e) a[m][e] = q[m][c][e];
      } else {
        load_matrices(a[m], q_tile.at(m, c));
      }
    }
#pragma unroll
    for (int n = 0; n < T::kKeySteps; ++n) {
      std::uint32_t b[4];
      load_matrices(b, k_tile.at(n, c));
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m) {
        mma(s[m][2 * n], a[m], b[0], b[1]);
        mma(s[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

template <class T>
__device__ __forceinline__ void add_values(
    float (&o)[T::kRowTiles][T::kColTiles][4], const float (&p)[T::kRowTiles][T::kKeyTiles][4],
    const FragmentCursor<SharedTile<T::kN, T::kDv>>& v_tile) {
#pragma unroll
  for (int n = 0; n < T::kKeySteps; ++n) {
    std::uint32_t a[T::kRowTiles][4];
#pragma unroll
    for (int m = 0; m < T::kRowTiles; ++m) {
      const float(&lo)[4] = p[m][2 * n], (&hi)[4] = p[m][2 * n + 1];
      a[m][0] = pack_bf16(lo[0], lo[1]);
      a[m][1] = pack_bf16(lo[2], lo[3]);
      a[m][2] = pack_bf16(hi[0], hi[1]);
      a[m][3] = pack_bf16(hi[2], hi[3]);
    }
#pragma unroll
    for (int c = 0; c < T::kOutSteps; ++c) {
      std::uint32_t b[4];
      load_matrices_transposed(b, v_tile.at(n, c));
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m) {
        mma(o[m][2 * c], a[m], b[0], b[1]);
        mma(o[m][2 * c + 1], a[m], b[2], b[3]);
      }
    }
  }
}

/// Runs the loop for query rows [first_row, first_row + kM) of one head.
///   q_row(r)      pointer to the block's row r, for r < q_rows
///   tiles         count(), tile(i): the key tiles to visit; plain(tile): no score of it is hidden;
///                 mask(s, tile, row, key): hides the others
template <class T, class QRow, class Rows, class Tiles>
__device__ __forceinline__ void flash_loop(FlashWarp<T>& w, FlashSmem<T>& smem, int first_row,
                                           int q_rows, const QRow& q_row, const Rows& rows,
                                           int s_kv, const Tiles& tiles, float scale) {
  const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16 * T::kRowTiles;
  const auto load_kv = [&](int i) {
    const int first = tiles.tile(i) * T::kN;
    load_rows<T::kThreads>(smem.k[i % 2], s_kv - first, threadIdx.x,
                           [&](int r) { return rows.k_row(first + r); });
    load_rows<T::kThreads>(smem.v[i % 2], s_kv - first, threadIdx.x,
                           [&](int r) { return rows.v_row(first + r); });
  };

  const int last = tiles.count() - 1;
  load_rows<T::kThreads>(smem.q, q_rows, threadIdx.x, q_row);
  if (last >= 0) load_kv(last);
  commit_copies();

  const auto q_tile = a_cursor(smem.q, warp_row, lane);
  std::uint32_t q[T::kRowTiles][T::kColSteps][4];

  for (int i = last; i >= 0; --i) {
    const int tile = tiles.tile(i);
    wait_copies<0>();
    __syncthreads();  // this pair is complete, and all warps are done with the other stage
    if (i > 0) load_kv(i - 1);
    commit_copies();
    if (T::kQInRegisters && i == last) {
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m)
#pragma unroll
        for (int c = 0; c < T::kColSteps; ++c) load_matrices(q[m][c], q_tile.at(m, c));
    }

    float s[T::kRowTiles][T::kKeyTiles][4] = {};
    scores<T>(s, q, q_tile, b_cursor(smem.k[i % 2], 0, lane));

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
    add_values<T>(w.o, s, a_cursor(smem.v[i % 2], 0, lane));
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
  constexpr float kLn2 = 0.6931471805599453f;
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
            pack_bf16(w.o[m][t][2 * half] * inverse, w.o[m][t][2 * half + 1] * inverse);
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
