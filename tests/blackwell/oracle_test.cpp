// The tcgen05 kernels against the double-precision oracle, on a GPU of compute capability 10.0. It
// has never had one: the first run is the proof.
#include <doctest/doctest.h>

#include "tests/kernels/check.hpp"

using namespace kvroof;
using namespace kvroof::kernels;

namespace {

// bf16 outputs and P rounded to 8 bits leave about 2e-3 of Frobenius error on normal inputs.
constexpr double kTolerance = 5e-3;

}  // namespace

TEST_CASE("tcgen05_peak: one product of every type") {
  for (const double type : {0., 1., 3.}) check("tcgen05_peak", {{"type", type}});
}

// From one tile of keys to several, so that a fault shows in the smallest case that has it.
TEST_CASE("flash_v4_tcgen05: tile by tile") {
  for (const double in_order : {0., 1.})
    for (const double s_kv : {128., 256., 384., 640., 1152., 4096.})
      for (const double s_q : {128., 256., 512.})
        check("flash_v4_tcgen05",
              {{"h_q", 1}, {"s_q", s_q}, {"s_kv", s_kv}, {"in_order", in_order}}, kTolerance);
}

TEST_CASE("flash_v4_tcgen05: edges of the tiles, one query, ragged tails, rows that see no key") {
  struct Shape {
    double b, h_q, h_kv, s_q, s_kv, causal;
  };
  const Shape shapes[] = {
      {1, 1, 1, 128, 128, 1},    {2, 4, 2, 300, 517, 0},    {1, 2, 1, 1, 77, 0},
      {2, 4, 4, 513, 513, 1},    {1, 4, 1, 200, 777, 1},    {1, 2, 2, 300, 100, 1},
      {3, 8, 2, 1000, 1000, 1},  {1, 6, 3, 1, 1, 1},        {2, 3, 3, 191, 2049, 0},
      {2, 32, 8, 4096, 4096, 1}, {4, 40, 40, 1500, 900, 0},
  };
  for (const Shape& x : shapes)
    for (const double in_order : {0., 1.})
      for (const double sigma : {1., 12., 100.})  // large scores: maxima grow, O is rescaled
        check("flash_v4_tcgen05",
              {{"b", x.b},
               {"h_q", x.h_q},
               {"h_kv", x.h_kv},
               {"s_q", x.s_q},
               {"s_kv", x.s_kv},
               {"causal", x.causal},
               {"in_order", in_order},
               {"sigma", sigma}},
              kTolerance);
}

TEST_CASE("flash_v4_tcgen05: random shapes") {
  for (int i = 0; i < 24; ++i) {
    const double h_kv = between(1, 3);
    check("flash_v4_tcgen05",
          {{"b", between(1, 3)},
           {"h_kv", h_kv},
           {"h_q", h_kv * between(1, 4)},
           {"s_q", between(1, 1499)},
           {"s_kv", between(1, 2999)},
           {"causal", between(0, 1)},
           {"in_order", between(0, 1)},
           {"sigma", between(1, 11)}},
          kTolerance);
  }
}
