// Counting tiles: closed forms against the loop they replace, and against the published ratios.
#include "model/attention/tiling.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/attention/random_shapes.hpp"

using namespace kvroof;
using namespace kvroof::attention;

namespace {

// The definition, tile by tile: key tile c is visited by row tile r when any row of r sees any key
// of c.
TileCount count_by_hand(const AttentionShape& x, int g, int m, int n, int sinks) {
  const int s_q = static_cast<int>(x.s_q), s_kv = static_cast<int>(x.s_kv);
  const int w = static_cast<int>(x.window);
  TileCount c;
  for (int row = 0; row < s_q * g; row += m, c.q_tiles += 1)
    for (int key = 0; key < s_kv; key += n) {
      bool seen = false;
      for (int r = row; r < std::min(row + m, s_q * g) && !seen; ++r)
        for (int k = key; k < std::min(key + n, s_kv) && !seen; ++k) {
          const int at = s_kv - s_q + r / g;
          const bool below = !(x.causal || w > 0) || k <= at;
          seen = below && (w == 0 || k > at - w || k < sinks);
        }
      if (seen) c.visited += 1, c.keys += std::min(n, s_kv - key);
    }
  return c;
}

}  // namespace

TEST_CASE("visited tiles equal a walk over every row and key") {
  RandomShapes random(1);
  for (int i = 0; i < 300; ++i) {
    AttentionShape x;
    x.s_q = 1.0 + static_cast<double>(random.below(60));
    x.s_kv = x.s_q + static_cast<double>(random.below(60));
    x.causal = random.below(3) > 0;
    x.window = random.below(2) ? 1.0 + static_cast<double>(random.below(70)) : 0;
    const int g = 1 << random.below(4), m = 8 << random.below(3),
              n = 5 + static_cast<int>(random.below(20));
    const int sinks = x.window > 0 ? static_cast<int>(random.below(12)) : 0;
    CAPTURE(x.s_q);
    CAPTURE(x.s_kv);
    CAPTURE(x.window);
    CAPTURE(x.causal);
    CAPTURE(g);
    CAPTURE(m);
    CAPTURE(n);
    CAPTURE(sinks);
    const TileCount want = count_by_hand(x, g, m, n, sinks);
    const TileCount got = count_tiles(x, g, m, n, sinks);
    CHECK(got.q_tiles == want.q_tiles);
    CHECK(got.visited == want.visited);
    CHECK(got.keys == want.keys);
  }
}

TEST_CASE("a causal kernel executes 1 + 128/S of the convention with 128 x 128 tiles") {
  struct Row {
    double s, ratio;
  };
  // ceil((i+1)·128 / 128) summed over S/128 row tiles against S²/2, by hand
  for (const Row r :
       {Row{512, 1.25}, {1024, 1.125}, {2048, 1.0625}, {4096, 1.03125}, {16384, 1.0078125}}) {
    const AttentionShape x{.s_q = r.s, .s_kv = r.s};
    const double executed = count_tiles(x, 1, 128, 128).visited * 128 * 128;
    CHECK(executed / paper_pairs(x) == r.ratio);
  }
}

TEST_CASE("visible pairs: triangle, chunk, window and sinks") {
  // A causal square counts half (FlashAttention-2 section 4.1); a chunk of 100 after 900 sees
  // 100·900 + 100²/2; chunks add up to the whole.
  CHECK(paper_pairs({.s_q = 1000, .s_kv = 1000}) == 500000);
  CHECK(paper_pairs({.s_q = 100, .s_kv = 1000}) == 95000);
  double chunks = 0;
  for (int i = 1; i <= 10; ++i) chunks += paper_pairs({.s_q = 100, .s_kv = 100.0 * i});
  CHECK(chunks == 500000);
  CHECK(paper_pairs({.s_q = 1000, .s_kv = 1000, .causal = false}) == 1e6);
  // window 100: 100²/2 + 900·100; four sinks add 4 for every position past 104, 4²/2 on the way
  CHECK(paper_pairs({.s_q = 1000, .s_kv = 1000, .window = 100}) == 95000);
  CHECK(paper_pairs({.s_q = 1000, .s_kv = 1000, .window = 100}, 4) == 95000 + 8 + 4 * 896);
}
