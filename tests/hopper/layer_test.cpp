// kernels/hopper, one part at a time.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "tests/hopper/layer_kernels.hpp"

using namespace kvroof;
using namespace kvroof::kernels;

namespace {

float as_bf16(double x) {  // round to nearest even
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(x));
  return std::bit_cast<float>((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u);
}

}  // namespace

TEST_CASE("a TMA tile is [d / 64][rows][64], 16-byte chunks swizzled by row, zero past the end") {
  const int s = 21, row = 8;  // rows 8 .. 20 exist, 3 of the tile's 16 do not
  const Buffer x(2 * s * 128 * 2), image(16 * 128 * 2), copy(2 * s * 128 * 2);
  fill_random(x, Dtype::bf16);
  poison(image), poison(copy);
  hopper::tma_round_trip(x, s, row, image, copy);
  const auto in = to_host<std::uint16_t>(x), smem = to_host<std::uint16_t>(image),
             out = to_host<std::uint16_t>(copy);
  for (int r = 0; r < 16; ++r)
    for (int c = 0; c < 128; ++c) {
      const int chunk = c % 64 / 8 ^ r % 8;  // 16 bytes = 8 elements
      const std::uint16_t got =
          smem[static_cast<std::size_t>(((c / 64) * 16 + r) * 64 + chunk * 8 + c % 8)];
      const auto at = static_cast<std::size_t>((s + row + r) * 128 + c);  // head 1
      REQUIRE(got == (row + r < s ? in[at] : 0));
    }
  for (int t = 0; t < 2 * s; ++t)  // the store wrote those rows of head 1 and nothing else
    for (int c = 0; c < 128; ++c) {
      const auto at = static_cast<std::size_t>(t * 128 + c);
      REQUIRE(out[at] == (t >= s + row ? in[at] : 0xFFFF));
    }
}

TEST_CASE("wgmma: Q·K^T from shared memory, then P·V with P as the operand in registers") {
  for (const int n : {80, 176}) {
    const Buffer q(64 * 128 * 2), k(static_cast<std::size_t>(n) * 128 * 2),
        v(static_cast<std::size_t>(n) * 128 * 2), o(64 * 128 * 2);
    fill_random(q, Dtype::bf16, 0.1f), fill_random(k, Dtype::bf16), fill_random(v, Dtype::bf16);
    poison(o);
    hopper::chained_products(q, k, v, n, o);
    const auto qh = to_floats(q, Dtype::bf16), kh = to_floats(k, Dtype::bf16),
               vh = to_floats(v, Dtype::bf16);
    std::vector<double> expected(64 * 128, 0);
    for (std::size_t r = 0; r < 64; ++r)
      for (std::size_t j = 0; j < static_cast<std::size_t>(n); ++j) {
        double s = 0;
        for (std::size_t c = 0; c < 128; ++c) s += double{qh[r * 128 + c]} * kh[j * 128 + c];
        for (std::size_t c = 0; c < 128; ++c)
          expected[r * 128 + c] += double{as_bf16(s)} * vh[j * 128 + c];
      }
    const Verdict verdict = compare(expected, to_floats(o, Dtype::bf16), 4e-3);  // bf16 output
    CAPTURE(n);
    CAPTURE(verdict.detail);
    CHECK(verdict.ok);
  }
}

TEST_CASE("named barriers: two warpgroups alternate strictly") {
  const int turns = 1000;
  const Buffer order(2 * turns * sizeof(int));
  poison(order);
  hopper::take_turns(turns, order);
  const auto who = to_host<int>(order);
  for (std::size_t i = 0; i < who.size(); ++i) REQUIRE(who[i] == static_cast<int>(i % 2));
}
