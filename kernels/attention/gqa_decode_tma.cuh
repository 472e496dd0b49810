// GQA decode fed by TMA, for Hopper.                  model: model/attention/flash_decoding.cpp
//   o = softmax(scale · q·K^T) · V      q, o [b, s_q, h_q, d]   k, v [b, h_kv, s_kv, d]   bf16
//   or pages: k, v [pages, h_kv, page, d], token j of a request in page table[request, j / page]
// The s_q·h_q / h_kv query rows of a K/V head are the rows of one mma tile (kernels/split_kv.cuh
// has the same arithmetic, fed by cp.async).
//
// Three things keep the pins busy:
//   bytes in flight   one block an SM with a ring of 192 KiB; each of its warps has its own part
//                     and runs through it alone: lane 0 asks TMA for the tile kStages ahead as soon
//                     as the warp has read one. No barrier stands between copies.
//   no tail           key tiles of all requests and heads stand end to end and every SM takes an
//                     equal range (balanced_split.hpp); the ring runs on across borders.
//   no second kernel  the block that brings the last piece of a cut stream merges it, counted by a
//                     ticket: o = sum_i 2^(lse_i - L)·o_i / sum_i 2^(lse_i - L). Where a pair
//                     of SMs has a stream to itself, they merge through shared memory
//
// What it reaches (H200, reports/h200-sxm-141gb/decode_tma.csv): 4.54 TB/s at batch 32, 8K, 98.9 %
// of the HBM read ceiling, 4.60 at batch 64, 4.34 at batch 1, 128K. flash_decoding, in the same
// run: 4.59, 4.58 and 4.35, but 6.9 against 5.7 us at batch 1, 2K. What it took:
//   - maps that fetch 128 bytes a miss; with 256 no ring of any shape passes 4.18 TB/s
//   - q asked for after the first tile, before the rest: behind 24 MiB in flight it comes 6 us late
//   - short code once the loop is over: what runs once runs at the speed of instruction fetch. No
//     division, few unrolled copies: 10.7 instead of 12.8 thousand cycles at batch 1, 2K
// The rest is that drain, about 3 us in which tickets pass and nobody reads; blocks that hold whole
// streams, as flash_decoding's do, have none.
#pragma once
#include <cstdint>

#include "kernels/balanced_split.cuh"
#include "kernels/divisor.cuh"
#include "kernels/hopper/cluster.cuh"
#include "kernels/online_softmax.cuh"

namespace kvroof::kernels::gqa_tma {

template <int kD_>
struct Tile {
  static constexpr int kD = kD_, kRows = 16;
  static constexpr int kWarps = kD == 256 ? 4 : 8, kThreads = 32 * kWarps;
  static constexpr int kKeys = kD == 64 ? 32 : 16;  // of one warp
  static constexpr int kBlockKeys = kKeys * kWarps;
  static constexpr int kStages = 192 * 1024 / kWarps / (2 * kKeys * kD * 2);
  static constexpr int kMergeRows = 8;        // merged at a time
  static constexpr int kColBlocks = kD / 64;  // of 128 bytes
};

template <class T>
struct Smem {
  using Rows = bf16[T::kColBlocks][T::kKeys][64];  // as TMA writes it, 128-byte swizzle
  struct alignas(1024) Stage {
    Rows k, v;
  };
  struct Part {  // result of the block, for its cluster
    float4 o[T::kRows][T::kD / 4];
    float lse2[T::kRows];
  };
  union {
    Stage ring[T::kWarps][T::kStages];
    Part part;
  };
  float o[T::kWarps][T::kMergeRows][T::kD + 4];  // results of the warps, at the end of a piece
  float max2[T::kWarps][T::kMergeRows], sum[T::kWarps][T::kMergeRows];  // maximum in units of 2^x
  hopper::Mbarrier full[T::kWarps][T::kStages];
  unsigned ticket;
};

/// SMs come in pairs, and groups of larger clusters leave some without work.
inline constexpr int kCluster = 2;

struct Params {
  CUtensorMap k, v;
  const int* table;  // [b, max_pages], or null: k, v are dense
  int max_pages, page_log2;
  BalancedPlan plan;  // streams are [b, h_kv, row_blocks]
  int h_q, s_q;
  Divisor row_blocks, h_kv, group;  // row_blocks: of 16 of the s_q·group rows
  const bf16* q;
  bf16* o;
  float *lse, *part_o, *part_lse2;  // [b, s_q, h_q] or null; [2·workers, 16(, d)]
  unsigned* tickets;                // [streams], 0 between launches
  bool clusters;                    // a stream is the work of one cluster; else tickets count
  float scale;
};

/// The packed query rows of a stream: row r is head kv_head·G + r % G of token r / G.
struct Rows {
  int request, kv_head, first, count;
  __device__ Rows(const Params& p, int stream) {
    const int head = p.row_blocks.quotient(stream);
    request = p.h_kv.quotient(head), kv_head = p.h_kv.remainder(head, request);
    first = p.row_blocks.remainder(stream, head) * 16;
    count = ::min(16, p.s_q * p.group.divisor - first);
  }
  __device__ int token(const Params& p, int r) const { return p.group.quotient(first + r); }
  __device__ std::int64_t row(const Params& p, int r) const {
    const int t = token(p, r);
    return (static_cast<std::int64_t>(request) * p.s_q + t) * p.h_q + kv_head * p.group.divisor +
           p.group.remainder(first + r, t);
  }
};

/// A operand [16, kD] of mma: the rows that exist, zeros below them.
template <class T>
__device__ __forceinline__ void load_queries(std::uint32_t (&q)[T::kD / 16][4], const Params& p,
                                             const Rows& rows, int lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = lane / 4 + 8 * half;
    const bf16* row = p.q + rows.row(p, r) * T::kD + 2 * (lane % 4);
#pragma unroll
    for (int c = 0; c < T::kD / 16; ++c)
#pragma unroll
      for (int hi = 0; hi < 2; ++hi)
        q[c][2 * hi + half] =
            r < rows.count ? *reinterpret_cast<const std::uint32_t*>(row + 16 * c + 8 * hi) : 0;
  }
}

// ---- feeding ----------------------------------------------------------------------------------

/// Runs ahead of its warp, tile by tile, over the pieces of the worker. Lane 0 drives it.
template <class T>
struct Feed {
  const Params& p;
  Smem<T>& smem;
  int warp;
  PieceWalk<T::kBlockKeys> walk;
  int tile = 0, end = 0, keys = 0, kv_head = 0, request = 0, page = 0;
  int stage = 0;

  __device__ Feed(const Params& params, Smem<T>& s, int w)
      : p(params),
        smem(s),
        warp(w),
        walk(PieceWalk<T::kBlockKeys>::of(params.plan, static_cast<int>(blockIdx.x))) {
    next_piece();
  }
  __device__ int key() const { return tile * T::kBlockKeys + warp * T::kKeys; }
  /// Looked up one tile ahead: it is a read of its own.
  __device__ void look_up() {
    if (p.table == nullptr) return;
    page = key() < keys ? p.table[request * p.max_pages + (key() >> p.page_log2)] : 0;
  }
  __device__ Rows next_piece() {
    const Piece piece = walk.next();
    const Rows rows(p, piece.stream);
    request = rows.request, kv_head = rows.kv_head;
    tile = piece.begin, end = piece.end, keys = piece.keys;
    return rows;
  }
  /// Asks for one tile, if there is one.
  __device__ void load() {
    if (tile == end) return;
    auto& to = smem.ring[warp][stage];
    auto& full = smem.full[warp][stage];
    full.arrive_expect(sizeof(to));
    const bool paged = p.table != nullptr;
    const int row = paged ? key() & ((1 << p.page_log2) - 1) : key(), at = paged ? page : request;
    hopper::load_tile(&to.k, p.k, full, row, kv_head, at);
    hopper::load_tile(&to.v, p.v, full, row, kv_head, at);
    stage = stage + 1 == T::kStages ? 0 : stage + 1;
    if (++tile == end) {
      if (walk.done()) return;
      const Rows rows = next_piece();
      // Its q into L2, a row or two a warp: in the full queue to HBM it would wait for
      // microseconds.
      for (int r = warp; r < rows.count; r += T::kWarps)
        hopper::prefetch_l2(p.q + rows.row(p, r) * T::kD, T::kD * 2);
    }
    look_up();
  }
};

// ---- one tile ---------------------------------------------------------------------------------

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

// ---- results ----------------------------------------------------------------------------------

struct Merged {
  float4 o;
  float lse2;
};

/// Weighted mean of results that arrive one after another: o, and its weight's logarithm lse2.
struct Mean {
  float4 o = make_float4(0, 0, 0, 0);
  float top = -INFINITY, sum = 0;  // `sum` weights in units of 2^top

  /// kCount results at once; the first `count` exist. All loads leave before the first is used.
  template <int kCount, class O, class Lse>
  __device__ __forceinline__ void add(int count, const O& part, const Lse& part_lse2) {
    float4 x[kCount];
    float lse2[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      lse2[i] = i < count ? part_lse2(i) : -INFINITY;
      x[i] = i < count ? part(i) : make_float4(0, 0, 0, 0);
    }
    float larger = top;
#pragma unroll
    for (int i = 0; i < kCount; ++i) larger = fmaxf(larger, lse2[i]);
    const float shift = larger == -INFINITY ? 0.f : larger, correction = exp2_approx(top - shift);
    top = larger, sum *= correction;
    o.x *= correction, o.y *= correction, o.z *= correction, o.w *= correction;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const float weight = exp2_approx(lse2[i] - shift);
      sum += weight;
      o.x += weight * x[i].x, o.y += weight * x[i].y;
      o.z += weight * x[i].z, o.w += weight * x[i].w;
    }
  }
  /// Of the lane whose number differs in the bits of `mask`; both get the sum.
  __device__ __forceinline__ void add_lane(int mask) {
    const auto theirs = [&](float x) { return __shfl_xor_sync(~0u, x, mask); };
    const Mean other{make_float4(theirs(o.x), theirs(o.y), theirs(o.z), theirs(o.w)), theirs(top),
                     theirs(sum)};
    const float larger = fmaxf(top, other.top), shift = larger == -INFINITY ? 0.f : larger;
    const float a = exp2_approx(top - shift), b = exp2_approx(other.top - shift);
    top = larger, sum = a * sum + b * other.sum;
    o.x = a * o.x + b * other.o.x, o.y = a * o.y + b * other.o.y;
    o.z = a * o.z + b * other.o.z, o.w = a * o.w + b * other.o.w;
  }
  __device__ __forceinline__ Merged merged() const {
    const float inverse = sum > 0 ? 1 / sum : 0.f;
    return {make_float4(o.x * inverse, o.y * inverse, o.z * inverse, o.w * inverse),
            sum > 0 ? top + log2f(sum) : -INFINITY};
  }
};

__device__ __forceinline__ void store(const Params& p, std::int64_t row, int d, int column,
                                      const Merged& m) {
  *reinterpret_cast<uint2*>(p.o + row * d + column) =
      make_uint2(pack_bf16(m.o.x, m.o.y), pack_bf16(m.o.z, m.o.w));
  if (column == 0 && p.lse != nullptr) p.lse[row] = m.lse2 * 0.6931471805599453f;
}

/// The warps' results of rows [first, first + 8) of a piece -> o and lse, or partial results.
template <class T>
__device__ __forceinline__ void merge_warps(const Params& p, Smem<T>& smem, const Piece& piece,
                                            const Rows& rows, int first) {
  constexpr int kQuads = T::kD / 4;
  const int count = ::min(T::kMergeRows, rows.count - first);
  for (int i = threadIdx.x; i < count * kQuads; i += T::kThreads) {
    const int r = i / kQuads, column = i % kQuads * 4;
    // A warp's O is not divided by its sum yet: its weight 2^max, and the sums add up by the same.
    float top = -INFINITY, sum = 0;
#pragma unroll
    for (int w = 0; w < T::kWarps; ++w) top = fmaxf(top, smem.max2[w][r]);
    const float shift = top == -INFINITY ? 0.f : top;
    float4 x = make_float4(0, 0, 0, 0);
#pragma unroll
    for (int w = 0; w < T::kWarps; ++w) {
      const float weight = exp2_approx(smem.max2[w][r] - shift);
      const float4 o = *reinterpret_cast<const float4*>(&smem.o[w][r][column]);
      sum += weight * smem.sum[w][r];
      x.x += weight * o.x, x.y += weight * o.y, x.z += weight * o.z, x.w += weight * o.w;
    }
    const float inverse = sum > 0 ? 1 / sum : 0.f;
    const Merged m{make_float4(x.x * inverse, x.y * inverse, x.z * inverse, x.w * inverse),
                   sum > 0 ? top + log2f(sum) : -INFINITY};
    if (piece.whole) {
      store(p, rows.row(p, first + r), T::kD, column, m);
    } else if (p.clusters) {
      smem.part.o[first + r][column / 4] = m.o;
      if (column == 0) smem.part.lse2[first + r] = m.lse2;
    } else {
      const std::int64_t row = static_cast<std::int64_t>(piece.slot) * T::kRows + first + r;
      *reinterpret_cast<float4*>(p.part_o + row * T::kD + column) = m.o;
      if (column == 0) p.part_lse2[row] = m.lse2;
    }
  }
}

/// Counts a piece of a stream. What the block wrote before is visible to whoever counts later: the
/// barrier before it orders the block's writes, the release carries them on.
__device__ __forceinline__ unsigned take_ticket(unsigned* tickets) {
  unsigned before;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;"
               : "=r"(before)
               : "l"(tickets)
               : "memory");
  return before;
}

/// The last piece of a cut stream finds all partial results written and merges them.
template <class T>
__device__ __forceinline__ void merge_stream(const Params& p, Smem<T>& smem, const Piece& piece,
                                             const Rows& rows) {
  constexpr int kQuads = T::kD / 4, kAtOnce = 9;
  const int4 stream = stream_range(p.plan, piece.stream);
  const int pieces = stream.w - stream.z + 1;
  __syncthreads();  // all partial results of this block are written
  if (threadIdx.x == 0) smem.ticket = take_ticket(p.tickets + piece.stream);
  __syncthreads();
  if (smem.ticket + 1 != static_cast<unsigned>(pieces)) return;
  if (threadIdx.x == 0) p.tickets[piece.stream] = 0;
  // Two lanes a quad of columns: one takes the even pieces, one the odd. A warp takes 16 quads, so
  // all its lanes leave the loop together.
  const int odd = threadIdx.x % 2;
  for (int i = threadIdx.x / 2; i < rows.count * kQuads; i += T::kThreads / 2) {
    const int r = i / kQuads, column = i % kQuads * 4;
    Mean mean;
#pragma unroll 1
    for (int first = odd; first < pieces; first += 2 * kAtOnce) {
      const auto row = [&](int n) {
        const int worker = stream.z + first + 2 * n;
        return static_cast<std::int64_t>(slot_of(worker, stream.z)) * T::kRows + r;
      };
      mean.add<kAtOnce>(
          (pieces - first + 1) / 2,
          [&](int n) {
            return __ldcg(reinterpret_cast<const float4*>(p.part_o + row(n) * T::kD + column));
          },
          [&](int n) { return __ldcg(p.part_lse2 + row(n)); });
    }
    mean.add_lane(1);
    if (odd == 0) store(p, rows.row(p, r), T::kD, column, mean.merged());
  }
}

/// The blocks of a cluster hold one stream: each merges its half of the columns.
template <class T>
__device__ __forceinline__ void merge_cluster(const Params& p, const Smem<T>& smem,
                                              const Rows& rows) {
  constexpr int kQuads = T::kD / 4;
  hopper::cluster_sync();  // all results are written
  const int rank = hopper::cluster_rank();
  for (int i = rank + kCluster * threadIdx.x; i < rows.count * kQuads;
       i += kCluster * T::kThreads) {
    const int r = i / kQuads, quad = i % kQuads;
    Mean mean;
    mean.add<kCluster>(
        kCluster, [&](int n) { return hopper::load_peer(smem.part.o[r][quad], n); },
        [&](int n) { return hopper::load_peer(smem.part.lse2[r], n); });
    store(p, rows.row(p, r), T::kD, 4 * quad, mean.merged());
  }
  hopper::cluster_sync();  // all have read
}

// ---- kernel -----------------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(T::kThreads, 1) decode(const __grid_constant__ Params p) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(1024) std::uint8_t raw[];
  auto& smem = *reinterpret_cast<Smem<T>*>(raw);
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0), lane = threadIdx.x % 32;
  if (lane == 0) {
    for (auto& full : smem.full[warp]) full.init(1);
    hopper::fence_barrier_init();
  }
  __syncwarp();
  if (threadIdx.x == 0) hopper::prefetch_map(p.k), hopper::prefetch_map(p.v);
  allow_next_kernel();  // its prologue may run under our last tiles
  auto walk = PieceWalk<T::kBlockKeys>::of(p.plan, static_cast<int>(blockIdx.x));
  Piece piece = walk.next();
  Rows rows(p, piece.stream);
  Feed<T> feed(p, smem, warp);
  wait_for_previous_kernel();  // which may have written q, K and V
  std::uint32_t q[T::kD / 16][4];
  if (lane == 0) feed.look_up(), feed.load();
  load_queries<T>(q, p, rows,
                  lane);  // behind the whole ring, 24 MiB on all SMs, they wait for 6 us
  if (lane == 0)
    for (int i = 1; i < T::kStages; ++i) feed.load();

  const float scale = p.scale * 1.4426950408889634f;  // exponents to base 2
  hopper::Ring<T::kStages> ring;
  while (true) {
    float o[T::kD / 8][4] = {};
    OnlineSoftmax softmax;
    const int diagonal = piece.keys - p.s_q;  // token t sees keys up to diagonal + t
    for (int tile = piece.begin; tile < piece.end; ++tile) {
      const int key = tile * T::kBlockKeys + warp * T::kKeys;
      auto& stage = smem.ring[warp][ring.stage];
      smem.full[warp][ring.stage].wait(ring.parity);
      ring.advance();
      if (key < piece.keys) {
        float s[T::kKeys / 8][4] = {};
        scores<T>(s, q, stage.k, lane);
        bool moved;
        if (key + T::kKeys <= diagonal + 1) {
          moved = softmax.update<false>(s, scale);
        } else {
#pragma unroll
          for (int t = 0; t < T::kKeys / 8; ++t)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              const int j = key + 8 * t + 2 * (lane % 4) + e % 2, r = lane / 4 + e / 2 * 8;
              if (j > diagonal + rows.token(p, r) || j >= piece.keys) s[t][e] = -INFINITY;
            }
          moved = softmax.update<true>(s, scale);
          if (key + T::kKeys > piece.keys) clear_rows<T>(stage.v, piece.keys - key, lane);
        }
        if (moved) softmax.correct(o);
        add_values<T>(o, s, stage.v, lane);
      }
      __syncwarp();  // all lanes have read the tile
      if (lane == 0) feed.load();
    }
    softmax.finish();
    const bool more = !walk.done();
    const Piece next = more ? walk.next() : piece;
    const Rows next_rows(p, next.stream);
    if (more) load_queries<T>(q, p, next_rows, lane);  // they arrive while this piece is merged
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (8 * half >= rows.count) break;
      const int r = lane / 4;
      if (lane % 4 == 0) {
        smem.max2[warp][r] = softmax.max[half] == -INFINITY ? -INFINITY : softmax.max[half] * scale;
        smem.sum[warp][r] = softmax.sum[half];
      }
#pragma unroll
      for (int t = 0; t < T::kD / 8; ++t)
        *reinterpret_cast<float2*>(&smem.o[warp][r][8 * t + 2 * (lane % 4)]) =
            make_float2(o[t][2 * half], o[t][2 * half + 1]);
      __syncthreads();
      merge_warps<T>(p, smem, piece, rows, 8 * half);
      __syncthreads();
    }
    if (!piece.whole) {
      if (p.clusters) merge_cluster<T>(p, smem, rows);
      else merge_stream<T>(p, smem, piece, rows);
    }
    if (!more) break;
    piece = next, rows = next_rows;
  }
#endif
}

}  // namespace kvroof::kernels::gqa_tma
