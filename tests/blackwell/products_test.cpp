// S = Q·K^T and O = P·V carried out on the CPU from nothing but the descriptors, addresses and
// columns that the forward kernel hands to tcgen05.mma: tiles in shared memory byte by byte as TMA
// writes them, tensor memory word by word. No GPU needed.
//
// tcgen05.mma here: PTX ISA 9.1, 9.7.16.3.3 canonical layouts with the 128-byte swizzle on address
// bits (4-6 ^= 7-9), table 42 for the shape, layout D for D, and A in tensor memory as two 16-bit
// elements a column.
#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "kernels/blackwell/forward/products.hpp"

using namespace kvroof::kernels::blackwell;
using namespace kvroof::kernels::blackwell::forward;

namespace {

struct Sm {
  std::vector<std::uint8_t> shared = std::vector<std::uint8_t>(227 * 1024);
  std::vector<std::uint32_t> tensor = std::vector<std::uint32_t>(kTensorLanes * kTensorColumns);

  std::uint32_t& word(TensorAddress base, int lane, int column) {
    const auto row = static_cast<int>(base.bits >> 16) + lane;
    const auto at = static_cast<int>(base.bits & 0xFFFF) + column;
    if (row >= kTensorLanes || at >= kTensorColumns) throw std::out_of_range("tensor memory");
    return tensor[static_cast<std::size_t>(row * kTensorColumns + at)];
  }
};

float bf16(std::uint32_t bits) { return std::bit_cast<float>(bits << 16); }
/// Small whole numbers: exact in bf16, and so are their sums in fp32.
std::uint16_t bf16_bits(int x) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(x)) >> 16);
}

struct Field {
  int address, leading, stride;
};
Field decode(SharedDescriptor d) {
  const auto field = [&](int low) { return static_cast<int>(d.bits >> low & 0x3FFF) * 16; };
  REQUIRE((d.bits >> 61) == 2);  // 128-byte swizzle
  return {field(0), field(16), field(32)};
}
float at(const Sm& sm, int address) {
  const int place = address ^ (address >> 3 & 0x70);
  std::uint16_t bits = 0;
  std::memcpy(&bits, &sm.shared.at(static_cast<std::size_t>(place)), 2);
  return bf16(bits);
}
float k_major_element(const Sm& sm, const Field& d, int mn, int k) {
  return at(sm, d.address + mn / 8 * d.stride + mn % 8 * 128 + k * 2);
}
float mn_major_element(const Sm& sm, const Field& d, int mn, int k) {
  return at(sm, d.address + mn / 64 * d.leading + mn % 64 * 2 + k / 8 * d.stride + k % 8 * 128);
}

/// One instruction, 16 of contraction; `a(row, k)`.
template <class A>
void mma(Sm& sm, TensorAddress d, const A& a, SharedDescriptor b, std::uint32_t shape,
         bool accumulate) {
  const int m = static_cast<int>(shape >> 24 & 31) * 16, n = static_cast<int>(shape >> 17 & 63) * 8;
  const bool across = shape >> 16 & 1;
  const Field fb = decode(b);
  for (int row = 0; row < m; ++row)
    for (int column = 0; column < n; ++column) {
      std::uint32_t& out = sm.word(d, row, column);
      float sum = accumulate ? std::bit_cast<float>(out) : 0;
      for (int k = 0; k < 16; ++k)
        sum += a(row, k) *
               (across ? mn_major_element(sm, fb, column, k) : k_major_element(sm, fb, column, k));
      out = std::bit_cast<std::uint32_t>(sum);
    }
}

using Matrix = std::vector<int>;  // [128, 128]

/// What a TMA load of [128 rows, 128] leaves: [2][128][64], 16-byte chunk c at c ^ (row mod 8). The
/// same formula is held against a GPU in tests/hopper/layer_test.cpp.
void tma(Sm& sm, std::uint32_t tile, const Matrix& x) {
  for (int r = 0; r < 128; ++r)
    for (int c = 0; c < 128; ++c) {
      const int chunk = c % 64 / 8 ^ r % 8;
      const std::uint16_t bits = bf16_bits(x[static_cast<std::size_t>(r * 128 + c)]);
      std::memcpy(sm.shared.data() + tile + (c / 64 * 128 + r) * 128 + chunk * 16 + c % 8 * 2,
                  &bits, 2);
    }
}

}  // namespace

TEST_CASE("tcgen05 products: what the kernel's descriptors and columns multiply") {
  std::mt19937 random(20260101);
  const auto matrix = [&] {
    Matrix x(128 * 128);
    for (int& v : x) v = static_cast<int>(random() % 17) - 8;
    return x;
  };
  const std::uint32_t q0 = 1024, kv0 = q0 + kTiles * kTileBytes;
  Sm sm;
  const Operands x = operands({0}, q0, kv0);
  Matrix q[kTiles], kv[kStages];
  for (int t = 0; t < kTiles; ++t)
    tma(sm, q0 + static_cast<std::uint32_t>(t * kTileBytes), q[t] = matrix());
  for (int s = 0; s < kStages; ++s)
    tma(sm, kv0 + static_cast<std::uint32_t>(s * kTileBytes), kv[s] = matrix());

  for (int t = 0; t < kTiles; ++t)
    for (int s = 0; s < kStages; ++s) {
      for (int i = 0; i < kSteps; ++i) {
        const ScoresStep step = scores_step(x, t, s, i);
        const Field fa = decode(step.a);
        mma(
            sm, step.d, [&](int row, int k) { return k_major_element(sm, fa, row, k); }, step.b,
            kScoresShape, i > 0);
      }
      long wrong = 0;
      for (int r = 0; r < 128; ++r)
        for (int c = 0; c < 128; ++c) {
          int expected = 0;
          for (int d = 0; d < 128; ++d)
            expected += q[t][static_cast<std::size_t>(r * 128 + d)] *
                        kv[s][static_cast<std::size_t>(c * 128 + d)];
          wrong += std::bit_cast<float>(sm.word({0}, r, scores_column(t) + c)) !=
                   static_cast<float>(expected);
        }
      CHECK(wrong == 0);
    }

  for (int t = 0; t < kTiles; ++t)
    for (int s = 0; s < kStages; ++s) {
      const Matrix p = matrix();
      for (int r = 0; r < 128; ++r)
        for (int key = 0; key < 128; key += 2)
          sm.word({0}, r, probability_column(t, key)) =
              bf16_bits(p[static_cast<std::size_t>(r * 128 + key)]) |
              std::uint32_t{bf16_bits(p[static_cast<std::size_t>(r * 128 + key + 1)])} << 16;
      for (int i = 0; i < kSteps; ++i) {
        const OutputStep step = output_step(x, t, s, i);
        const auto a = [&](int row, int k) {
          return bf16(sm.word(step.a, row, k / 2) >> 16 * (k % 2) & 0xFFFF);
        };
        mma(sm, step.d, a, step.b, kOutputShape, i > 0);
      }
      long wrong = 0;
      for (int r = 0; r < 128; ++r)
        for (int c = 0; c < 128; ++c) {
          int expected = 0;
          for (int key = 0; key < 128; ++key)
            expected += p[static_cast<std::size_t>(r * 128 + key)] *
                        kv[s][static_cast<std::size_t>(key * 128 + c)];
          wrong += std::bit_cast<float>(sm.word({0}, r, output_column(t) + c)) !=
                   static_cast<float>(expected);
        }
      CHECK(wrong == 0);
    }
}

// S_0, S_1, O_0 and O_1 share no column, and fill tensor memory; P lies in its S alone.
TEST_CASE("tcgen05 products: the map of tensor memory") {
  std::vector<int> owners(kTensorColumns, 0);
  for (int t = 0; t < kTiles; ++t)
    for (int c = 0; c < 128; ++c) {
      ++owners[static_cast<std::size_t>(scores_column(t) + c)];
      ++owners[static_cast<std::size_t>(output_column(t) + c)];
    }
  for (const int n : owners) CHECK(n == 1);
  for (int t = 0; t < kTiles; ++t) {
    CHECK(probabilities_column(t) >= scores_column(t));
    CHECK(probabilities_column(t) + columns_of_16_bits(kKeys) <= scores_column(t) + 128);
  }
}
