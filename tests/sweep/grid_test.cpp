// The index space, the axes on the command line, and which shard a batch system means.
#include "model/sweep/grid.hpp"

#include <doctest/doctest.h>

#include <map>

#include "model/sweep/slice.hpp"
#include "model/user_error.hpp"

using namespace kvroof;
using namespace kvroof::sweep;

namespace {

std::vector<std::string> values(const std::string& text) {
  std::vector<std::string> out;
  for (const Node& v : parse_axis(text).values) out.push_back(value_text(v));
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("axes from the command line") {
  CHECK(values("a=1,2,fp8") == Texts{"1", "2", "fp8"});
  CHECK(values("a=1..8x2") == Texts{"1", "2", "4", "8"});
  CHECK(values("a=1..10x3") == Texts{"1", "3", "9"});
  CHECK(values("a=3..5") == Texts{"3", "4", "5"});
  CHECK(values("a=0..1+0.25") == Texts{"0", "0.25", "0.5", "0.75", "1"});
  for (const char* bad : {"a", "=1", "a=", "a=1,,2", "a=2..1", "a=1..8x1", "a=0..8x2", "a=1..",
                          "a=1..9+0", "a=1..9+x", "a=0..1e9", "a=1..inf"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_axis(bad), UserError);
  }
}

TEST_CASE("deployments outside, the longest workload axis inside; digits are the point") {
  const Grid g =
      make_grid({parse_axis("workload.input_len=1..5"), parse_axis("hardware=a,b"),
                 parse_axis("workload.output_len=1,2"), parse_axis("serving.block_size=16,32,64")},
                true);
  Texts paths;
  for (const GridAxis& a : g.axes) paths.push_back(a.path);
  CHECK(paths ==
        Texts{"hardware", "serving.block_size", "workload.output_len", "workload.input_len"});
  CHECK(g.num_outer == 2);
  CHECK(g.points() == 60);
  CHECK(g.deployments() == 6);
  CHECK(g.row() == 5);
  CHECK(g.digits(0) == std::vector<std::int64_t>{0, 0, 0, 0});
  CHECK(g.digits(59) == std::vector<std::int64_t>{1, 2, 1, 4});
  CHECK(g.digits(10 * 3 + 7) == std::vector<std::int64_t>{1, 0, 1, 2});
  // An open loop: all axes make deployments.
  CHECK(make_grid({parse_axis("workload.input_len=1..5")}, false).num_outer == 1);
  CHECK_THROWS_AS(make_grid({parse_axis("a=1"), parse_axis("a=2")}, true), UserError);
  const Axis wide = parse_axis("a=1..1000000");
  CHECK_THROWS_AS(make_grid({wide, {"b", wide.values}, {"c", wide.values}}, true), UserError);
}

TEST_CASE("shards cover the points once, whatever their number") {
  for (const std::int64_t n : {0ll, 1ll, 7ll, 65537ll, 999999999999989ll})
    for (const std::int64_t count : {1ll, 2ll, 3ll, 64ll, 1000000ll}) {
      std::int64_t at = 0;
      bool once = true;
      for (std::int64_t i = 1; i <= count; ++i) {
        const Slice s{i, count};
        once = once && s.begin(n) == at && s.end(n) >= at;
        at = s.end(n);
      }
      CHECK(once);
      CHECK(at == n);
    }
}

TEST_CASE("the shard from the environment of a batch system") {
  const auto slice = [](const std::string& text, std::map<std::string, std::string> set) {
    return parse_slice(text, [&set](const char* name) -> const char* {
      const auto found = set.find(name);
      return found == set.end() ? nullptr : found->second.c_str();
    });
  };
  CHECK(slice("3/8", {}) == Slice{3, 8});
  CHECK(slice("auto", {}) == Slice{1, 1});
  CHECK(slice("auto", {{"SLURM_ARRAY_TASK_ID", "12"},
                       {"SLURM_ARRAY_TASK_MIN", "10"},
                       {"SLURM_ARRAY_TASK_COUNT", "5"}}) == Slice{3, 5});
  CHECK(slice("auto", {{"SLURM_ARRAY_TASK_ID", "8"},
                       {"SLURM_ARRAY_TASK_MIN", "0"},
                       {"SLURM_ARRAY_TASK_STEP", "4"},
                       {"SLURM_ARRAY_TASK_COUNT", "3"}}) == Slice{3, 3});
  CHECK(slice("auto", {{"JOB_COMPLETION_INDEX", "0"}, {"KVROOF_SHARDS", "4"}}) == Slice{1, 4});
  CHECK(slice("auto", {{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}}) ==
        Slice{4, 4});
  CHECK(slice("auto", {{"PARALLEL_SEQ", "2"}, {"KVROOF_SHARDS", "2"}}) == Slice{2, 2});
  for (const char* bad : {"0/4", "5/4", "1", "a/b", "1/0", "-1/2", "1/2/3", ""}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(slice(bad, {}), UserError);
  }
  CHECK_THROWS_AS(slice("auto", {{"JOB_COMPLETION_INDEX", "0"}}), UserError);
  CHECK_THROWS_AS(slice("auto", {{"PARALLEL_SEQ", "3"}, {"KVROOF_SHARDS", "2"}}), UserError);
  CHECK_THROWS_AS(slice("auto", {{"PARALLEL_SEQ", "x"}, {"KVROOF_SHARDS", "2"}}), UserError);
}
