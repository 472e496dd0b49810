// How a worker of a balanced split walks its range, and where partial results lie.
#pragma once
#include "kernels/balanced_split.hpp"
#include "kernels/combine.cuh"

namespace kvroof::kernels {

/// {first tile, its stream} of a worker.
__device__ __forceinline__ int2 worker_range(const BalancedPlan& p, int w) {
  if (p.tiles == 0) return p.workers[w];
  const int first = p.by_workers.quotient(p.total * w);
  return make_int2(first, p.by_tiles.quotient(first));
}
/// {first tile, keys, first worker, last worker} of a stream. Tile t belongs to the last worker
/// whose range starts at or before it: floor(total·w / workers) <= t.
__device__ __forceinline__ int4 stream_range(const BalancedPlan& p, int s) {
  if (p.tiles == 0) return p.streams[s];
  const int first = s * p.tiles, next = first + p.tiles;
  return make_int4(first, p.keys, p.by_total.quotient((first + 1) * p.num_workers - 1),
                   p.by_total.quotient(next * p.num_workers - 1));
}

/// A worker's piece of one stream: tiles [begin, end) of the stream's own count.
struct Piece {
  int stream, begin, end;
  int keys;    // of the stream
  bool whole;  // no other worker has a piece of it
  int slot;    // of its partial result, if not whole
};

/// Pieces of one worker, in order; `done()` after the last.
template <int kTile>
struct PieceWalk {
  const BalancedPlan& plan;
  int worker, tile, last, stream;

  __device__ static PieceWalk of(const BalancedPlan& p, int w) {
    const int2 from = worker_range(p, w);
    return {p, w, from.x, worker_range(p, w + 1).x, from.y};
  }
  __device__ bool done() const { return tile >= last; }
  __device__ Piece next() {
    const int4 s = stream_range(plan, stream);
    const int tiles = ::max(1, (s.y + kTile - 1) / kTile);
    const int begin = tile - s.x, end = ::min(tiles, last - s.x);
    const Piece piece{stream, begin, end, s.y, s.z == s.w, 2 * worker + (begin == 0 ? 1 : 0)};
    tile = s.x + end, ++stream;
    return piece;
  }
};

/// A stream's first worker ends its range with it (slot 1), the others begin theirs with it (0).
__device__ __forceinline__ int slot_of(int worker, int first_worker) {
  return 2 * worker + (worker == first_worker ? 1 : 0);
}

/// One block of kD / 4 threads a row of o. A thread has kAtOnce partial results in flight: many
/// where a stream has many pieces, few where it has few and there are rows enough. Addresses of 64
/// bits and a branch for each keep the loads together: with 32 bits, or with loads of the last
/// piece instead of branches, ptxas parts them, and 66 pieces take 11.7 us instead of 7.4.
///   L = max_i lse_i     o = sum_i 2^(lse_i - L)·o_i / sum_i 2^(lse_i - L)
template <int kD, int kAtOnce>
__global__ void __launch_bounds__(kD / 4) merge_pieces(const MergeParams p) {
  const int request = static_cast<int>(blockIdx.y), row = static_cast<int>(blockIdx.x);
  const int4 s = stream_range(p.plan, request * p.groups + row / p.rows);
  const int inside = row % p.rows;
  if (s.z == s.w) return;
  wait_for_previous_kernel();
  const auto at = [&](int worker) {
    return static_cast<std::int64_t>(slot_of(worker, s.z)) * p.rows + inside;
  };
  float top = -INFINITY;  // each warp by itself, a piece a lane
  for (int w = s.z + static_cast<int>(threadIdx.x) % 32; w <= s.w; w += 32)
    top = fmaxf(top, p.part_lse2[at(w)]);
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, mask));
  const float shift = top == -INFINITY ? 0.f : top;
  float sum = 0;
  float4 o = make_float4(0, 0, 0, 0);
#pragma unroll 1
  for (int first = s.z; first <= s.w; first += kAtOnce) {
    float lse2[kAtOnce];
    float4 x[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int w = first + i;
      const bool exists = w <= s.w;
      lse2[i] = exists ? p.part_lse2[at(w)] : -INFINITY;
      x[i] = exists ? reinterpret_cast<const float4*>(p.part_o + at(w) * kD)[threadIdx.x]
                    : make_float4(0, 0, 0, 0);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const float weight = exp2_approx(lse2[i] - shift);
      sum += weight;
      o.x += weight * x[i].x, o.y += weight * x[i].y;
      o.z += weight * x[i].z, o.w += weight * x[i].w;
    }
  }
  const float inverse = sum > 0 ? 1 / sum : 0.f;
  const std::int64_t out = static_cast<std::int64_t>(request) * p.request_rows + row;
  reinterpret_cast<uint2*>(p.o + out * kD)[threadIdx.x] =
      make_uint2(pack_bf16(o.x * inverse, o.y * inverse), pack_bf16(o.z * inverse, o.w * inverse));
  if (threadIdx.x == 0 && p.lse != nullptr)
    p.lse[out] = sum > 0 ? (top + log2f(sum)) * 0.6931471805599453f : -INFINITY;
}

}  // namespace kvroof::kernels
