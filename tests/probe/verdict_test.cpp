// What validate lets pass: percentiles over shapes and the table of known exceptions. By hand.
#include <doctest/doctest.h>

#include "cupti_probe/exceptions.hpp"
#include "cupti_probe/summary.hpp"

using namespace kvroof::probe;

namespace {

Check off(double predicted, double measured) {
  return judged({.quantity = "HBM read",
                 .unit = "byte",
                 .predicted = predicted,
                 .measured = measured,
                 .tolerance = 0.02});
}

}  // namespace

TEST_CASE("HBM reads are judged at the 90th percentile beyond L2, times by their mean") {
  KernelSummary summary;
  for (int i = 1; i <= 10; ++i)  // errors of 1 % … 9 %, and one of 50 %
    CHECK(summary.take(off(100e6, i < 10 ? 100e6 + i * 1e6 : 150e6), 100e6, 60e6).verdict ==
          Verdict::open);
  summary.take(off(1e6, 9e6), 1e6, 60e6);  // fits in L2: does not count
  CHECK(summary.reads() == 10);
  const auto lines = summary.judge(0.0901);
  REQUIRE(lines.size() == 1);
  CHECK(*lines[0].measured == doctest::Approx(0.09));
  CHECK(lines[0].verdict == Verdict::ok);
  CHECK(summary.judge(0.08)[0].verdict == Verdict::off);

  for (const double seconds : {0.9, 1.1, 1.2})
    summary.take({.quantity = "time", .unit = "s", .predicted = 1, .measured = seconds}, 0, 0);
  CHECK(*summary.judge(0.09)[1].measured == doctest::Approx((0.1 + 0.1 + 0.2) / 3));
  CHECK(summary.judge(0.09)[1].verdict == Verdict::ok);
}

TEST_CASE("other quantities keep their own verdict") {
  KernelSummary summary;
  Check flops{.quantity = "executed FLOP", .unit = "flop", .predicted = 1, .measured = 2};
  CHECK(summary.take(judged(flops), 100e6, 60e6).verdict == Verdict::off);
}

TEST_CASE("an exception excuses its kernel, quantity and shape, as far as its reason goes") {
  const Exception table[] = {{"k", "HBM read", "b=1 d=64", 0.1, "because"}};
  const Check bad = off(100, 109);
  CHECK(excused(bad, "k", "b=1 causal=1 d=64", table).verdict == Verdict::known);
  CHECK(excused(bad, "k", "b=1 causal=1 d=64", table).note == "because");
  CHECK(excused(bad, "k", "b=16 d=64", table).verdict == Verdict::off);  // b=16 is not b=1
  CHECK(excused(bad, "other", "b=1 d=64", table).verdict == Verdict::off);
  CHECK(excused(off(100, 111), "k", "b=1 d=64", table).verdict == Verdict::off);
  CHECK(excused(off(100, 101), "k", "b=1 d=64", table).verdict == Verdict::ok);
}

TEST_CASE("a shape whose reads an exception names is not judged once more by the summary") {
  KernelSummary summary;
  Check named = off(100e6, 120e6);
  named.verdict = Verdict::known;
  CHECK(summary.take(named, 100e6, 60e6).verdict == Verdict::known);
  CHECK(summary.reads() == 0);
}

TEST_CASE("every exception gives its reason and a limit") {
  for (const Exception& e : exceptions()) {
    CAPTURE(e.kernel);
    CHECK(e.reason.size() > 10);
    CHECK(e.limit > 0);
  }
}
