// GQA decode: what its warps share in shared memory, what a launch is given,
// whose rows a stream holds.
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
  static constexpr int kMergeAtOnce = 9;      // partial results that a lane has in flight
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

}  // namespace kvroof::kernels::gqa_tma
