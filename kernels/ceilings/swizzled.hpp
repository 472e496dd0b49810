// Operands of the tensor loads as matrices again, for the CPU's products.
#pragma once
#include <cstddef>
#include <vector>

namespace kvroof::kernels {

/// One operand, stored [k / C][rows][C] with C = 128 bytes of elements, as a [rows, k] matrix:
/// undoes the blocks and the swizzle (16-byte chunk c of row r lies at chunk c ^ (r mod 8)).
inline std::vector<float> without_swizzle(const std::vector<float>& stored, int rows,
                                          int element_bytes) {
  const int per_block = 128 / element_bytes, per_chunk = 16 / element_bytes;
  const int columns = static_cast<int>(stored.size()) / rows;
  std::vector<float> out(stored.size());
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c) {
      const int block = c / per_block, in_block = c % per_block;
      const int chunk = in_block / per_chunk ^ r % 8;
      out[static_cast<std::size_t>(r * columns + c)] = stored[static_cast<std::size_t>(
          (block * rows + r) * per_block + chunk * per_chunk + in_block % per_chunk)];
    }
  return out;
}

}  // namespace kvroof::kernels
