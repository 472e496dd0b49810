// bf16 -> E4M3 with scales, optionally turned by a random rotation before.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace kvroof::kernels {

/// The diagonal of random signs D of the rotation x -> H·D·x / sqrt(d), H the Hadamard matrix: bit
/// i % 32 of word i / 32 is set where element i changes its sign. The rotation is orthogonal, so
/// Q·K^T does not change when both are turned by the same signs.
struct Signs {
  std::uint32_t words[8];
};
Signs random_signs(std::uint64_t seed);

/// x [groups, rows, d] -> codes of the same shape, value = scale · code; d is 128 or 256, `block`
/// 64 or 128 rows. The largest |value| of a block becomes 448, the largest E4M3 number.
///   scales  [groups, ceil(rows / block)]
struct QuantiseParams {
  const __nv_bfloat16* x = nullptr;
  std::uint8_t* codes = nullptr;
  float* scales = nullptr;
  int groups = 1, rows = 1, d = 128, block = 128;
};
/// signs: nullptr for no rotation.
void launch_quantise(const QuantiseParams&, const Signs* signs, cudaStream_t);

/// XU instructions of it, per lane.
double quantise_xu_lanes(const QuantiseParams&);

/// One scale a group, in two passes over x: scales is [groups];
/// `maxima` is room for a float per block.
void launch_quantise_whole(const QuantiseParams&, float* maxima, const Signs* signs, cudaStream_t);

}  // namespace kvroof::kernels
