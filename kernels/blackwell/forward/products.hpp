// Operands of the products of the forward pass: which descriptors and which columns each of the
// eight instructions of S = Q·K^T and of O += P·V takes. The kernel issues them; a test carries
// them out on bytes (tests/blackwell/products_test.cpp).
#pragma once
#include <cstdint>

#include "kernels/blackwell/forward/protocol.hpp"
#include "kernels/blackwell/instruction_descriptor.hpp"
#include "kernels/blackwell/shared_descriptor.hpp"
#include "kernels/blackwell/tensor_memory.hpp"

namespace kvroof::kernels::blackwell::forward {

inline constexpr int kRows = 128, kKeys = 128, kD = 128;  // of a query tile, a key tile, a head
inline constexpr int kBlockColumns = 64;                  // of 16 bits in 128 bytes
/// A tile [d / 64][128 rows][64] of 16 bits, 128-byte swizzled, as TMA writes it.
inline constexpr int kTileBytes = kD * kRows * 2;
inline constexpr int kSteps = kD / 16;  // instructions of a product: 16 of contraction each

inline constexpr std::uint32_t kScoresShape =
    instruction_descriptor({.m = kRows, .n = kKeys, .format = Format::bf16});
inline constexpr std::uint32_t kOutputShape =
    instruction_descriptor({.m = kRows, .n = kD, .format = Format::bf16, .b = Major::mn});

struct Operands {
  TensorAddress tensor_memory;
  SharedDescriptor q, k, v;  // of the first tile of Q, and of the first stage as K and as V
};
/// q, kv: addresses in shared memory of the tiles, one after another.
KVROOF_HOST_DEVICE constexpr Operands operands(TensorAddress tensor_memory, std::uint32_t q,
                                               std::uint32_t kv) {
  return {tensor_memory, k_major(q), k_major(kv), mn_major(kv, kKeys)};
}

/// D (+)= A·B^T, A in shared memory.
struct ScoresStep {
  TensorAddress d;
  SharedDescriptor a, b;
};
/// Of S_t [128 queries, 128 keys] = Q_t · K^T the 16 of d from 16i on: four steps of 32 bytes fill
/// a row, then comes the next block of columns.
KVROOF_HOST_DEVICE constexpr ScoresStep scores_step(const Operands& x, int t, int stage, int i) {
  const int at = i / 4 * (kTileBytes / 2) + i % 4 * 32;
  return {x.tensor_memory.columns(scores_column(t)), x.q + (t * kTileBytes + at),
          x.k + (stage * kTileBytes + at)};
}

/// The same, A in tensor memory.
struct OutputStep {
  TensorAddress d, a;
  SharedDescriptor b;
};
/// Of O_t [128 queries, d] += P_t · V the 16 keys from 16i on: 16 rows of V.
KVROOF_HOST_DEVICE constexpr OutputStep output_step(const Operands& x, int t, int stage, int i) {
  return {x.tensor_memory.columns(output_column(t)),
          x.tensor_memory.columns(probabilities_column(t) + i * columns_of_16_bits(16)),
          x.v + (stage * kTileBytes + i * 16 * 128)};
}

/// Where the softmax puts P of keys 2c and 2c + 1, low and high half: column c of P_t.
KVROOF_HOST_DEVICE constexpr int probability_column(int t, int key) {
  return probabilities_column(t) + key / 2;
}

}  // namespace kvroof::kernels::blackwell::forward
