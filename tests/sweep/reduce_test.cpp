// Reductions against brute force, and their independence of order: the law behind shards.
#include "model/sweep/reduce.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "model/serving/rng.hpp"
#include "model/sweep/slice.hpp"
#include "model/sweep/state.hpp"
#include "model/user_error.hpp"

using namespace kvroof;
using namespace kvroof::sweep;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Entry random_entry(serving::Rng& rng, std::int64_t point) {
  Entry e{.point = point};
  for (double& v : e.values) v = static_cast<double>(1 + rng.below(40));  // many ties
  return e;
}

}  // namespace

TEST_CASE("top and front equal brute force, ties go to the smaller point") {
  serving::Rng rng(3);
  for (int trial = 0; trial < 200; ++trial) {
    const std::size_t n = 1 + rng.below(120), k = rng.below(20);
    std::vector<Entry> all;
    for (std::size_t i = 0; i < n; ++i)
      all.push_back(random_entry(rng, static_cast<std::int64_t>(i)));
    std::vector<Entry> shuffled = all;
    for (std::size_t i = n; i-- > 1;) std::swap(shuffled[i], shuffled[rng.below(i + 1)]);
    Top top(k, Column::usd);
    Front front(Column::rate_per_user, Column::usd);
    for (const Entry& e : shuffled) top.add(e), front.add(e);

    std::sort(all.begin(), all.end(), [](const Entry& a, const Entry& b) {
      return a[Column::usd] != b[Column::usd] ? a[Column::usd] < b[Column::usd] : a.point < b.point;
    });
    const std::vector<Entry> best = top.sorted();
    REQUIRE(best.size() == std::min(k, n));
    for (std::size_t i = 0; i < best.size(); ++i) CHECK(best[i].point == all[i].point);

    std::vector<std::int64_t> expected, got;
    for (const Entry& e : all) {
      const bool beaten = std::any_of(all.begin(), all.end(), [&](const Entry& o) {
        const double x = o[Column::rate_per_user], y = o[Column::usd];
        const bool as_good = x >= e[Column::rate_per_user] && y <= e[Column::usd];
        const bool same = x == e[Column::rate_per_user] && y == e[Column::usd];
        return as_good && (!same || o.point < e.point);
      });
      if (!beaten) expected.push_back(e.point);
    }
    for (const Entry& e : front.entries()) got.push_back(e.point);
    std::sort(expected.begin(), expected.end()), std::sort(got.begin(), got.end());
    CHECK(got == expected);
  }
}

TEST_CASE("histogram bins are an eighth of an octave and hold what falls into them") {
  for (const double v : {1e-9, 0.3, 1.0, 1.1249, 1.125, 7.0, 12345.0}) {
    const int bin = Histogram::bin(v);
    CHECK(Histogram::lower_edge(bin) <= v);
    CHECK(v < Histogram::lower_edge(bin + 1));
  }
  CHECK(Histogram::bin(0) == 0);
  CHECK(Histogram::bin(1e300) == Histogram::kBins - 1);
}

TEST_CASE("any cut of the points, merged in any order, prints the same state") {
  serving::Rng rng(11);
  const Grid grid{
      .axes = {{.path = "hardware", .values = {"a", "b", "c"}},
               {.path = "workload.input_len", .values = {"1", "2", "3", "4", "5"}},
               {.path = "workload.max_concurrency", .values = std::vector<std::string>(100, "1")}},
      .num_outer = 1};
  const std::int64_t n = grid.points();
  REQUIRE(n == 1500);
  const Reduction how{.top = 17, .per = "hardware", .slo = {30, kInf}};
  // One block for every 64 points of a row; a third of them does not fit.
  std::vector<Block> blocks(15 * 2);
  for (Block& b : blocks)
    for (int i = 0; i < kLanes; ++i) {
      const Entry e = random_entry(rng, 0);
      for (std::size_t c = 0; c < kNumColumns; ++c) b.column[c][i] = e.values[c];
      b.fits[i] = rng.below(3) > 0;
    }
  const auto evaluate = [&](std::int64_t begin, std::int64_t end) {
    sweep::Kept kept(grid, how);
    while (begin < end) {
      const std::int64_t row = begin / 100, in_row = begin % 100, half = in_row / 64;
      if (row >= 10) {  // the last deployment cannot exist
        kept.add_impossible(begin, end - begin);
        break;
      }
      const std::int64_t stop = std::min({end, row * 100 + (half + 1) * 64, row * 100 + 100});
      kept.add(blocks[static_cast<std::size_t>(2 * row + half)],
               static_cast<int>(in_row - 64 * half), static_cast<int>(stop - row * 100 - 64 * half),
               begin);
      begin = stop;
    }
    return kept;
  };
  const auto print = [&](std::int64_t begin, std::int64_t end, const sweep::Kept& k) {
    return print_state({.inputs = "x", .grid = grid, .how = how, .progress = {begin, end, end}}, k);
  };
  const std::string whole = print(0, n, evaluate(0, n));
  CHECK(evaluate(0, n).counts.impossible == 500);
  for (int trial = 0; trial < 50; ++trial) {
    const auto count = static_cast<std::int64_t>(1 + rng.below(12));
    std::vector<LoadedState> parts;
    for (std::int64_t i = 1; i <= count; ++i) {
      const Slice s{i, count};
      parts.push_back(
          read_state(print(s.begin(n), s.end(n), evaluate(s.begin(n), s.end(n))), "part"));
    }
    for (std::size_t i = parts.size(); i-- > 1;) std::swap(parts[i], parts[rng.below(i + 1)]);
    const LoadedState merged = merge_states(std::move(parts));
    CHECK(print_state(*merged.state, merged.kept) == whole);
  }
}

TEST_CASE("states that do not belong together are refused") {
  const Grid grid{.axes = {{.path = "model", .values = {"a", "b", "c", "d"}}}, .num_outer = 1};
  const Reduction how{.slo = {kInf, kInf}};
  const sweep::Kept none(grid, how);
  const auto part = [&](Progress p, std::string inputs = "x") {
    return read_state(print_state({std::move(inputs), grid, how, p}, none), "part");
  };
  const auto refusal = [](std::vector<LoadedState> parts) -> std::string {
    try {
      merge_states(std::move(parts));
    } catch (const UserError& e) {
      return e.what();
    }
    return "accepted";
  };
  CHECK(refusal({part({0, 2, 2}), part({2, 4, 4})}) == "accepted");
  CHECK(refusal({part({0, 2, 2})}) == "points 2 to 4 are missing");
  CHECK(refusal({part({0, 1, 1}), part({2, 4, 4})}) == "points 1 to 2 are missing");
  CHECK(refusal({part({0, 3, 3}), part({2, 4, 4})}) == "points 2 to 3 are there twice");
  CHECK(refusal({part({0, 2, 2}), part({2, 3, 4})}) ==
        "points 2 to 4 are not done: 1 are; run that shard again");
  CHECK(refusal({part({0, 2, 2}), part({2, 4, 4}, "y")}).find("of another sweep") !=
        std::string::npos);
  CHECK(refusal({}).find("at least one") != std::string::npos);
  for (const char* text : {"", "{}", "[1", R"({"schema": "kvroof/sweep-state/v1"})"})
    CHECK_THROWS_AS(read_state(text, "f"), UserError);
}
