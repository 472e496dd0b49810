#include "model/attention/softmax.hpp"

#include <doctest/doctest.h>

using namespace kvroof;
using namespace kvroof::attention;

TEST_CASE("safe softmax takes 4 accesses an element, online 3") {
  // arXiv:1805.02867 sections 2 and 3; "up to 1.33x" is their ratio
  const AttentionShape x{.b = 4, .s_q = 1, .s_kv = 25000, .h_q = 1000, .h_kv = 1000};
  const auto accesses = [&](bool online) {
    const Work w = softmax(x, {}, {}, {.online = online}).work;
    return (w.l2_to_sm + w.hbm_written()).value / (4. * 1000 * 25000 * 2);
  };
  CHECK(accesses(false) == 4);
  CHECK(accesses(true) == 3);
}

TEST_CASE("walks after the first reach HBM only when the active rows exceed L2") {
  // 1056 rows at work on 132 SMs; 25,000 bf16 values each bring (1 + 1.75) / 2 · 52.8 = 73 MB
  // between two walks, 7,000 bring 20 MB.
  const auto reread = [](double columns) {
    return softmax({.b = 4000, .s_kv = columns}, {}, {}, {}).work.reread.value;
  };
  CHECK(reread(7000) < 0.02 * 4000. * 7000 * 2);
  CHECK(reread(25000) == doctest::Approx(4000. * 25000 * 2).epsilon(1e-3));
}

TEST_CASE(
    "a kernel's exponentials: one more a vector online, whole warps, and the threads that end a "
    "row") {
  // 1000 columns in vectors of 8 are 125 lanes, four warps: 1024 elements, 128 corrections; 128
  // threads bring their sums together (online) and invert the sum.
  const AttentionShape x{.s_kv = 1000, .h_q = 1, .h_kv = 1};
  const Tile tile{.m = 1, .n = 8, .ctas_per_sm = 8, .row_lanes = 128};
  CHECK(softmax(x, {}, {}, {.tile = tile, .online = true}).work.exps == 2 * 1024 + 128 + 128 + 128);
  CHECK(softmax(x, {}, {}, {.tile = tile, .online = false}).work.exps == 2 * 1024 + 128);
  CHECK(softmax(x, {}, {}, {.online = true}).work.exps == 3 * 1000);  // the paper's count
}
