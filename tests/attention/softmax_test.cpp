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

TEST_CASE("reads of rows that L2 holds, just holds and does not hold, as counted on an H200") {
  // DRAM bytes read beside the matrix itself; 2 blocks an SM work on long rows, 8 on short ones.
  const struct {
    double rows, columns;
    int ctas_per_sm;
    bool online;
    double walks, within;
  } shapes[] = {{65536, 4096, 8, true, 1.0006, 0.01}, {4096, 65536, 2, false, 1.391, 0.07},
                {4096, 65536, 2, true, 1.517, 0.05},  {8192, 32768, 2, true, 1.033, 0.05},
                {65536, 8192, 8, true, 1.091, 0.05},  {256, 152064, 2, false, 3, 0.02},
                {256, 152064, 2, true, 2, 0.01}};
  for (const auto& s : shapes) {
    CAPTURE(s.columns);
    const AttentionShape x{.b = s.rows, .s_kv = s.columns};
    const Tile tile{.m = 1, .n = 8, .ctas_per_sm = s.ctas_per_sm};
    const Work w = softmax(x, {}, {}, {.tile = tile, .online = s.online}).work;
    CHECK((w.hbm_read() + w.reread) / (s.rows * s.columns * Bytes{2}) ==
          doctest::Approx(s.walks).epsilon(s.within));
  }
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
