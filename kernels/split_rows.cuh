// Which part of the work a block of a split-KV kernel has: its packed query rows, and its range of
// keys.
#pragma once
#include "kernels/divisor.cuh"
#include "kernels/split_kv.hpp"

namespace kvroof::kernels {

/// What split-KV kernels divide by, beside their parameters: h_q / h_kv, h_kv and the splits.
struct SplitDivisors {
  Divisor group, heads, splits;
  explicit SplitDivisors(const SplitParams& p)
      : group(p.h_q / p.h_kv), heads(p.h_kv), splits(p.splits) {}
};

/// The packed query rows of one block: row r is head kv_head·G + r % G of token r / G.
struct PackedRows {
  Divisor group;
  int request, kv_head, first, count;
  /// Of a block of the grid (splits, tiles of kRows rows, requests and K/V heads).
  template <int kRows>
  __device__ static PackedRows of(const SplitParams& p, const SplitDivisors& by) {
    const int matrix = blockIdx.z, request = by.heads.quotient(matrix), first = blockIdx.y * kRows;
    return {by.group, request, by.heads.remainder(matrix, request), first,
            ::min(kRows, p.s_q * by.group.divisor - first)};
  }
  __device__ int token(int r) const { return group.quotient(first + r); }
  /// Number of the row in q and o.
  __device__ std::int64_t row(const SplitParams& p, int r) const {
    const int t = token(r), head = kv_head * group.divisor + group.remainder(first + r, t);
    return (static_cast<std::int64_t>(request) * p.s_q + t) * p.h_q + head;
  }
};

/// Split `split` of `tiles` tiles: floor(tiles·split / splits) up to the next one's;
/// tiles·splits < 2^31.
__device__ __forceinline__ int2 share_of(int tiles, int split, const Divisor& splits) {
  return make_int2(splits.quotient(tiles * split), splits.quotient(tiles * (split + 1)));
}

/// Keys [begin, end) of this block's split, in whole tiles of all its warps.
template <class T>
__device__ __forceinline__ int2 split_range(int length, int split, const Divisor& splits) {
  constexpr int kBlockKeys = T::kKeys * T::kWarps;
  const int2 tiles = share_of((length + kBlockKeys - 1) / kBlockKeys, split, splits);
  return make_int2(tiles.x * kBlockKeys, ::min(length, tiles.y * kBlockKeys));
}

}  // namespace kvroof::kernels
