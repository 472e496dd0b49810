// A tile of bf16 rows in shared memory, swizzled so that eight neighbouring rows of one 16-byte
// column lie in eight different bank groups:
// ldmatrix and 16-byte copies are then free of conflicts.
#pragma once
#include <cstdint>

#include "kernels/async_copy.cuh"
#include "kernels/mma.cuh"

namespace kvroof::kernels {

/// [kRows, kCols] bf16. The 16-byte chunk `c` of row `r` is stored at chunk c ^ (r & 7).
template <int kRows_, int kCols_>
struct alignas(1024) SharedTile {
  static constexpr int kRows = kRows_, kCols = kCols_;
  static constexpr int kChunk = 8;                // bf16 in 16 bytes
  static constexpr int kChunks = kCols / kChunk;  // per row
  static constexpr std::uint32_t kRowBytes = kCols * sizeof(bf16);
  static_assert(kChunks >= 8 && kCols % 64 == 0, "the swizzle permutes groups of eight chunks");

  bf16 data[kRows * kCols];

  __device__ static std::uint32_t offset(int row, int chunk) {
    return row * kRowBytes + ((chunk ^ (row & 7)) << 4);
  }
  __device__ std::uint32_t address(int row, int chunk) const {
    return shared_address(data) + offset(row, chunk);
  }
};

/// Where this lane's ldmatrix row of a tile starts. Steps of 16 columns are an XOR, because the
/// swizzle is one (in rows of other than 2^n bytes only within 128 bytes);
/// steps of 16 rows are an addition.
template <class Tile>
struct FragmentCursor {
  std::uint32_t base;
  __device__ FragmentCursor(const Tile& tile, int row, int half) : base(tile.address(row, half)) {}
  __device__ std::uint32_t at(int row_step, int column_step) const {
    const std::uint32_t row = row_step * 16 * Tile::kRowBytes;
    return (base ^ (column_step % 4 << 5)) + column_step / 4 * 128 + row;
  }
};

/// Lane's place for an A operand (rows x k), and for a B operand stored as [k, n] (V, transposed).
template <class Tile>
__device__ FragmentCursor<Tile> a_cursor(const Tile& tile, int first_row, int lane) {
  return {tile, first_row + (lane & 15), lane >> 4};
}
/// Lane's place for a B operand stored as [n, k] (K): two n-tiles of 8, both halves of k.
template <class Tile>
__device__ FragmentCursor<Tile> b_cursor(const Tile& tile, int first_row, int lane) {
  return {tile, first_row + (lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1};
}

/// Starts the copy of `kRows` rows; row_pointer(r) gives the r-th row in global memory, rows at or
/// beyond `valid` become zeros. One 16-byte chunk a thread and step;
/// threads of a row are neighbours.
template <int kThreads, class Tile, class RowPointer>
__device__ __forceinline__ void load_rows(Tile& tile, int valid, int thread,
                                          RowPointer row_pointer) {
  constexpr int kLanes = Tile::kChunks & -Tile::kChunks;  // 2^n threads a row
  constexpr int kRowsPerStep = kThreads / kLanes;
  static_assert(Tile::kRows % kRowsPerStep == 0 && (kRowsPerStep & (kRowsPerStep - 1)) == 0);
  const int first = thread / kLanes, column = thread % kLanes * Tile::kChunk;
  const std::uint32_t to = tile.address(first, thread % kLanes);
  const auto each = [&](const auto& copy) {
#pragma unroll
    for (int step = 0; step < Tile::kRows / kRowsPerStep; ++step) {
      const int down =
          step * kRowsPerStep;  // its swizzle and that of `first` have no bit in common
      const std::uint32_t row = (to ^ (down % 8 << 4)) + down * Tile::kRowBytes;
#pragma unroll
      for (int i = 0; i < Tile::kChunks / kLanes; ++i)
        copy(row + i * kLanes * 16, down + first, column + i * kLanes * Tile::kChunk);
    }
  };
  if (valid >= Tile::kRows)
    each([&](std::uint32_t at, int r, int c) { copy_async(at, row_pointer(r) + c); });
  else
    each([&](std::uint32_t at, int r, int c) {
      copy_async(at, row_pointer(r < valid ? r : 0) + c, r < valid);
    });
}

}  // namespace kvroof::kernels
