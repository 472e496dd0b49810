#include "model/attention/balanced_split.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <random>

using kvroof::attention::balanced_split;
using kvroof::attention::BalancedSplit;

TEST_CASE("three streams of four tiles on two workers: six tiles each, the middle one cut") {
  const BalancedSplit s = balanced_split(std::vector{4, 4, 4}, 2, 0);
  CHECK(s.stream_first == std::vector{0, 4, 8, 12});
  CHECK(s.worker_first == std::vector{0, 6, 12});
  CHECK(s.holders == std::vector{1, 2, 1});
  CHECK(s.cut_streams == 1);
  CHECK(s.pieces == 2);
  CHECK(s.longest == 6);
}

TEST_CASE("where a cut costs two tiles, two whole streams beside one are as good") {
  const BalancedSplit s = balanced_split(std::vector{4, 4, 4}, 2, 2);
  CHECK(s.worker_first == std::vector{0, 8, 12});
  CHECK(s.pieces == 0);
  CHECK(s.longest == 8);
}

TEST_CASE("a stream without keys takes one tile, and nobody goes without work") {
  CHECK(balanced_split(std::vector{0, 3}, 1, 0).stream_first == std::vector{0, 1, 4});
  const BalancedSplit few = balanced_split(std::vector{2}, 132, 0);
  CHECK(few.worker_first == std::vector{0, 1, 2});
  CHECK(few.pieces == 2);
}

TEST_CASE("64 requests of 64 tiles on 66 workers stay whole: a cut would save one tile of 64") {
  CHECK(balanced_split(std::vector<int>(64, 64), 66, 14).pieces == 0);
  // 96 requests leave a third of the workers idle when whole: cut, 94 tiles instead of 128
  const BalancedSplit s = balanced_split(std::vector<int>(96, 64), 66, 14);
  CHECK(s.longest == 94);
  CHECK(s.cut_streams > 0);
}

TEST_CASE("laws: ranges cover all tiles, none is empty, no worker exceeds its share by the cost") {
  std::mt19937 random(7);
  for (int n = 0; n < 500; ++n) {
    std::vector<int> tiles(1 + random() % 40);
    for (int& t : tiles) t = static_cast<int>(1 + random() % 50);
    const int workers = static_cast<int>(1 + random() % 140), cost = static_cast<int>(random() % 9);
    const BalancedSplit s = balanced_split(tiles, workers, cost);
    const int total = std::accumulate(tiles.begin(), tiles.end(), 0);
    const auto& border = s.worker_first;
    REQUIRE(border.front() == 0);
    REQUIRE(border.back() == total);
    REQUIRE(static_cast<int>(border.size()) <= workers + 1);
    int pieces = 0;
    for (std::size_t w = 0; w + 1 < border.size(); ++w) {
      REQUIRE(border[w] < border[w + 1]);
      for (std::size_t i = 0; i < tiles.size(); ++i) {
        const int from = s.stream_first[i], to = s.stream_first[i + 1];
        const bool touches = border[w] < to && border[w + 1] > from;
        const bool has_all = border[w] <= from && border[w + 1] >= to;
        pieces += touches && !has_all;
      }
    }
    CHECK(pieces == s.pieces);
    CHECK(s.longest <= (total + workers - 1) / workers + cost);
  }
}
