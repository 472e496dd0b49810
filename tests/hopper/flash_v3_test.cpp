// FlashAttention-3 against the double-precision oracle, on a GPU. Tolerance: bf16 and fp16 outputs
// and P rounded to 8 or 11 bits leave about 2e-3 or 3e-4 of Frobenius error on normal inputs.
#include <doctest/doctest.h>

#include "tests/kernels/check.hpp"

using namespace kvroof;
using namespace kvroof::kernels;

namespace {

void check(const Args& args, double tolerance, const char* kernel = "flash_v3") {
  kernels::check(kernel, args, tolerance);
}

}  // namespace

TEST_CASE("flash_v3: edges of the tiles, one query, ragged tails, rows that see no key") {
  struct Shape {
    double b, h_q, h_kv, s_q, s_kv, causal;
  };
  const Shape shapes[] = {
      {1, 1, 1, 128, 128, 0},   {2, 4, 2, 300, 517, 0}, {1, 2, 1, 1, 77, 0},
      {2, 4, 4, 513, 513, 1},   {1, 4, 1, 200, 777, 1}, {1, 2, 2, 300, 100, 1},
      {3, 8, 2, 1000, 1000, 1}, {1, 6, 3, 1, 1, 1},     {2, 3, 3, 191, 2049, 0},
  };
  for (const auto& [d_qk, d_v] : {std::pair{64, 64}, {128, 128}, {256, 256}, {192, 128}})
    for (const Shape& x : shapes)
      for (const double fp16 : {0., 1.})
        check({{"b", x.b},
               {"h_q", x.h_q},
               {"h_kv", x.h_kv},
               {"s_q", x.s_q},
               {"s_kv", x.s_kv},
               {"causal", x.causal},
               {"d_qk", d_qk},
               {"d_v", d_v},
               {"fp16", fp16}},
              fp16 != 0 ? 8e-4 : 4e-3);
}

TEST_CASE("flash_v3: random shapes") {
  for (int i = 0; i < 24; ++i) {
    const double d = i % 3 == 0 ? 64 : i % 3 == 1 ? 128 : 256, h_kv = between(1, 3);
    check({{"b", between(1, 3)},
           {"h_kv", h_kv},
           {"h_q", h_kv * between(1, 4)},
           {"s_q", between(1, 699)},
           {"s_kv", between(1, 1499)},
           {"causal", between(0, 1)},
           {"d_qk", d},
           {"sigma", between(1, 11)}},
          5e-3);
  }
}

TEST_CASE("flash_v3: long keys") {
  for (const double causal : {0., 1.})
    check({{"h_q", 2}, {"s_q", 700}, {"s_kv", 9000}, {"causal", causal}}, 4e-3);
}

// Lazy rescaling lets P grow to 2^8: large scores of later tiles must still win. The polynomial's
// 8.8e-5 is lost in the rounding of P.
TEST_CASE("flash_v4: every option, small and large scores") {
  for (const double causal : {0., 1.})
    for (const double poly : {0., 2., 4.})
      for (const double lazy : {0., 1.})
        for (const double sigma : {1., 12., 100.})
          check({{"h_q", 4},
                 {"h_kv", 2},
                 {"s_q", 300},
                 {"s_kv", 717},
                 {"causal", causal},
                 {"poly", poly},
                 {"lazy", lazy},
                 {"longest_first", lazy},
                 {"sigma", sigma}},
                5e-3, "flash_v4");
  check({{"h_q", 2}, {"s_q", 300}, {"s_kv", 100}, {"causal", 1}}, 5e-3, "flash_v4");  // blind rows
}

TEST_CASE("ladder: every rung computes attention") {
  for (double step = 1; step <= 6; ++step)
    for (const double causal : {0., 1.}) {
      check({{"b", 2}, {"h_q", 3}, {"s_q", 513}, {"step", step}, {"causal", causal}}, 5e-3,
            "ladder");
      check({{"h_q", 2}, {"s_q", 200}, {"s_kv", 777}, {"step", step}, {"causal", causal}}, 5e-3,
            "ladder");
    }
}

// Full masks whose last wave is cut by keys: few tiles; tiles of several heads; ragged rows.
TEST_CASE("flash_v3_fp8: tiles cut by keys") {
  check({{"h_q", 1}, {"s_q", 200}, {"s_kv", 9000}}, 4e-2, "flash_v3_fp8");
  check({{"b", 2}, {"h_q", 3}, {"h_kv", 1}, {"s_q", 700}, {"s_kv", 4100}}, 4e-2, "flash_v3_fp8");
  check({{"b", 3}, {"h_q", 16}, {"s_q", 577}, {"s_kv", 2050}}, 4e-2, "flash_v3_fp8");
}

// P in E4M3 has 3 mantissa bits: rounding errors of up to 1/16, 3.6 % rms, independent of each
// other; the norm of their weighted sum over the norm of the output is as large,
// less what P² weighs.
TEST_CASE("flash_v3_fp8: against the oracle on the E4M3 values") {
  for (const double d : {128., 256.})
    for (const double causal : {0., 1.}) {
      check({{"h_q", 4}, {"h_kv", 2}, {"s_q", 300}, {"s_kv", 517}, {"d_qk", d}, {"causal", causal}},
            4e-2, "flash_v3_fp8");
      check({{"b", 2}, {"h_q", 2}, {"s_q", 513}, {"d_qk", d}, {"causal", causal}}, 4e-2,
            "flash_v3_fp8");
      check({{"h_q", 2}, {"s_q", 1200}, {"s_kv", 2050}, {"d_qk", d}, {"causal", causal}}, 4e-2,
            "flash_v3_fp8");
      check({{"h_q", 1}, {"s_q", 1}, {"s_kv", 77}, {"d_qk", d}, {"causal", causal}}, 4e-2,
            "flash_v3_fp8");
      check({{"h_q", 2}, {"s_q", 300}, {"s_kv", 100}, {"d_qk", d}, {"causal", causal}}, 4e-2,
            "flash_v3_fp8");
    }
}
