// Group files: the language, its errors, and every built-in group against the CUPTI Host API, which
// needs neither GPU nor driver.
#include "cupti_probe/groups.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "cupti_probe/error.hpp"
#include "cupti_probe/plan.hpp"
#include "tests/probe/have_cupti.hpp"

using namespace kvroof::probe;
using kvroof::UserError;

namespace {

double value_of(const std::string& formula, std::vector<double> metrics) {
  const ChipGroup group =
      on_chip(parse_group("passes GH100 1\nx [1] " + formula + "\n", "t.txt"), "GH100");
  return evaluate(group.figures.at(0), metrics).value_or(std::numeric_limits<double>::quiet_NaN());
}

std::string error_of(const std::string& text) {
  try {
    on_chip(parse_group(text, "t.txt"), "GH100");
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("formulas equal hand arithmetic") {
  CHECK(value_of("1 + 2 * 3", {}) == 7);
  CHECK(value_of("(1 + 2) * 3", {}) == 9);
  CHECK(value_of("10 - 4 - 3", {}) == 3);  // left to right
  CHECK(value_of("24 / 4 / 3", {}) == 2);  // left to right
  CHECK(value_of("-2 * -(3 - 5)", {}) == -4);
  CHECK(value_of("a.sum * 1e-9", {2500}) == doctest::Approx(2.5e-6));
  CHECK(value_of("32 * a.sum + b.sum / a.sum", {4, 10}) == 130.5);
  // One metric named twice is asked for once.
  CHECK(value_of("a.sum * a.sum", {3}) == 9);
}

TEST_CASE("a division by zero or a missing metric has no value never a zero") {
  const ChipGroup group =
      on_chip(parse_group("passes GH100 1\nx [1] a.sum / b.sum\n", "t.txt"), "GH100");
  CHECK_FALSE(evaluate(group.figures[0], std::vector<double>{1, 0}).has_value());
  CHECK_FALSE(
      evaluate(group.figures[0], std::vector<double>{std::numeric_limits<double>::quiet_NaN(), 2})
          .has_value());
}

TEST_CASE("errors of a group file name file line and column") {
  struct Row {
    const char *text, *message;
  };
  const Row rows[] = {
      {"passes GH100 1\nx 1 + 2\n", "t.txt:2:3: expected [unit] after the name, got '1 + 2'"},
      {"passes GH100 1\nx [s]\n", "t.txt:2:6: expected a formula, got the end of the line"},
      {"passes GH100 1\nx [s] a.sum *\n",
       "t.txt:2:14: formula: expected a number, a metric name or '(', got the end of the line"},
      {"passes GH100 1\nx [s] (a.sum\n",
       "t.txt:2:13: formula: expected ')', got the end of the line"},
      {"passes GH100 1\nx [s] a.sum b.sum\n",
       "t.txt:2:13: formula: expected an operator + - * / or the end of the line, got 'b.sum'"},
      {"passes GH100 1\nx [s] dram__bytes_read\n",
       "t.txt:2:7: formula: expected a full metric name such as dram__bytes_read.sum (counter and "
       "rollup), got 'dram__bytes_read'"},
      {"passes GH100 zero\nx [s] a.sum\n",
       "t.txt:1:14: expected a number of passes of at least 1, got 'zero'"},
      {"passes GH100 1\npasses GH100 2\n", "t.txt:2:8: expected each chip once, got 'GH100'"},
      {"x [s] a.sum\n", "t.txt:1:1: expected a line 'passes CHIP N', got none"},
      {"passes GH100 1\n@GA100 x [s] a.sum\n",
       "t.txt:2:1: expected a chip with a 'passes' line, got 'GA100'"},
      {"passes GH100 1\nx [s] a.sum\nx [s] b.sum\n",
       "t.txt:3:1: expected each name once for GH100, got 'x' again"},
  };
  for (const Row& row : rows) CHECK(error_of(row.text) == row.message);
}

TEST_CASE("a chip the group does not know is refused not guessed") {
  CHECK(error_of("passes GA100 1\nx [s] a.sum\n") ==
        "t.txt: group 't' does not know chip GH100 (it knows GA100): add a line 'passes GH100 N' "
        "and check its metric names");
}

TEST_CASE("lines for some chips are seen by those only") {
  const Group group = parse_group(
      "# title\n# prose\npasses GH100 1\npasses GA100 2\n@GA100 x [s] a.sum\n@GH100 x [s] b.sum\n",
      "some/dir/t.txt");
  CHECK(group.name == "t");
  CHECK(group.title == "title");
  CHECK(group.prose == "prose\n");
  CHECK(on_chip(group, "GA100").metrics == std::vector<std::string>{"a.sum"});
  CHECK(on_chip(group, "GH100").metrics == std::vector<std::string>{"b.sum"});
  CHECK(on_chip(group, "GA100").stated_passes == 2);
}

TEST_CASE("figures that need elapsed time are known as such") {
  const ChipGroup group = on_chip(load_group("roofline"), "GH100");
  const auto needs_time = [&](const char* name) {
    return group.figures.at(figure_index(group, name).value()).needs_time;
  };
  CHECK(needs_time("time"));
  CHECK_FALSE(needs_time("dram_read"));
  CHECK_FALSE(needs_time("sm_clock"));   // cycles per second: a ratio
  CHECK_FALSE(needs_time("sm_active"));  // active, not elapsed
}

TEST_CASE("every built-in group resolves on its chips in the passes it states") {
  REQUIRE_CUPTI();
  REQUIRE(group_names().size() >= 8);
  for (const std::string& name : group_names())
    for (const char* chip : {"GA100", "GH100", "GB100"}) {
      const Plan plan = Plan::make(on_chip(load_group(name), chip));
      INFO(name, " on ", chip);
      CHECK(plan.passes() == static_cast<std::size_t>(plan.group().stated_passes));
      CHECK(plan.config_image().size() > 0);
    }
}

TEST_CASE("the roofline group is one pass: no replay one cache state one clock") {
  for (const char* chip : {"GA100", "GH100", "GB100"})
    CHECK(on_chip(load_group("roofline"), chip).stated_passes == 1);
}

TEST_CASE("misspelt metrics are refused with their places and do no lasting harm") {
  REQUIRE_CUPTI();
  const char* text =
      "passes GH100 1\n"
      "a [byte] dram__bytes_reed.sum + dram__bytes_read.sum\n"
      "b [byte] dram__bytes_read.total\n";
  CHECK_THROWS_WITH_AS(Plan::make(on_chip(parse_group(text, "t.txt"), "GH100")),
                       "t.txt:2:10: expected a metric of GH100, got 'dram__bytes_reed.sum'\n"
                       "t.txt:3:10: expected a metric of GH100, got 'dram__bytes_read.total'",
                       UserError);
  CHECK(Plan::make(on_chip(load_group("hbm"), "GH100")).passes() == 1);
}

TEST_CASE("SASS counters never share a pass with hardware counters") {
  REQUIRE_CUPTI();
  const char* text =
      "passes GH100 2\n"
      "a [byte] dram__bytes_read.sum\n"
      "b [op] sm__sass_thread_inst_executed_op_ffma_pred_on.sum\n";
  CHECK(Plan::make(on_chip(parse_group(text, "t.txt"), "GH100")).passes() == 2);
}
