// Several kernels as one, and predicted against counted. Numbers by hand.
#include "cupti_probe/count.hpp"

#include <doctest/doctest.h>

#include "cupti_probe/judge.hpp"

using namespace kvroof;
using namespace kvroof::probe;

namespace {

ChipGroup group_of(const std::string& lines) {
  return on_chip(parse_group("passes GH100 1\n" + lines, "t.txt"), "GH100");
}

/// Counts as a collection would give them, from figure medians.
Counts counts_of(const std::vector<std::pair<std::string, double>>& figures) {
  Counts counts;
  for (const auto& [name, value] : figures) {
    counts.group.figures.push_back({.name = name});
    counts.figures.push_back({value, value, value});
  }
  return counts;
}

const Check& find(const std::vector<Check>& checks, std::string_view quantity) {
  for (const Check& check : checks)
    if (check.quantity == quantity) return check;
  throw std::runtime_error("no such check");
}

}  // namespace

TEST_CASE("kernels of one launch: counts add clocks are weighted by time peaks stay") {
  const ChipGroup group = group_of(
      "t [s] gpu__time_duration.sum\n"
      "b [byte] dram__bytes_read.sum\n"
      "c [Hz] sm__cycles_elapsed.avg.per_second\n"
      "p [1] dram__bytes.sum.peak_sustained\n");
  //  300 ns at 2 GHz and 100 ns at 1 GHz: 1.75 GHz
  const std::vector<std::vector<double>> kernels{{300, 1000, 2e9, 1504}, {100, 24, 1e9, 1504}};
  const std::vector<double> one = combine(group, kernels);
  CHECK(one == std::vector<double>{400, 1024, 1.75e9, 1504});
}

TEST_CASE("a single kernel combines to itself") {
  const ChipGroup group = group_of("t [s] gpu__time_duration.sum + sm__cycles_active.avg\n");
  const std::vector<std::vector<double>> kernels{{123, 4567}};
  CHECK(combine(group, kernels) == kernels[0]);
}

TEST_CASE("a kernel that does what the model says passes and one FLOP more does not") {
  Op op{.op_class = OpClass::gemm, .math = MathType::bf16};
  op.work.flops = op.work.flops_executed = Flops{131072.0 * 1000};
  op.work.read.weights = Bytes{256e6};
  op.work.written.activations = Bytes{100e6};
  op.work.l2_to_sm = Bytes{300e6};
  auto counts = counts_of({{"tensor_flop", 131072e3},
                           {"dram_read", 256e6 * 1.019},
                           {"dram_written", 70e6},
                           {"l2_to_sm", 300e6 * 0.951},
                           {"exps", 12},
                           {"time", 1e-3}});
  counts.written_back = 99e6;  // 29 of 100 MB were still dirty when the kernel ended
  const auto checks = check_kernel(op, counts, nullptr, Seconds{1.1e-3});
  for (const char* quantity : {"executed FLOP", "HBM read", "HBM written", "L2 to SM", "time"}) {
    INFO(quantity);
    CHECK(find(checks, quantity).verdict == Verdict::ok);
  }
  CHECK(find(checks, "exponentials").verdict == Verdict::open);
  CHECK(find(checks, "HBM written").measured.value() == doctest::Approx(99e6));
  CHECK(find(checks, "time").ratio().value() == doctest::Approx(1 / 1.1));

  op.work.launches = 1;
  counts.kernels_per_launch = 2;
  CHECK(find(check_kernel(op, counts, nullptr, {}), "kernels").verdict == Verdict::off);

  counts.figures[0].median = 131072e3 + 1;
  CHECK(find(check_kernel(op, counts, nullptr, {}), "executed FLOP").verdict == Verdict::off);
  counts.figures[1].median = 256e6 * 1.03;
  CHECK(find(check_kernel(op, counts, nullptr, {}), "HBM read").verdict == Verdict::off);
  counts.written_back.reset();  // without the write-back 30 MB are missing
  CHECK(find(check_kernel(op, counts, nullptr, {}), "HBM written").verdict == Verdict::off);
  CHECK(find(check_kernel(op, counts, nullptr, {}), "time").verdict == Verdict::open);
}

TEST_CASE("tensor work where none is predicted is an error not an open question") {
  const auto counts = counts_of({{"tensor_flop", 4096}, {"dram_read", 0}, {"dram_written", 0}});
  CHECK(find(check_kernel(Op{}, counts, nullptr, {}), "executed FLOP").verdict == Verdict::off);
}

TEST_CASE("formats that the one-pass group cannot count ask for group tensor") {
  Op op{.math = MathType::fp16};
  CHECK_FALSE(needs_tensor_group(op, "GH100"));  // no tensor work at all
  op.work.flops_executed = Flops{1};
  CHECK_FALSE(needs_tensor_group(op, "GH100"));  // fp16 through wgmma is in the pass
  op.execution.mma_sync = true;
  CHECK(needs_tensor_group(op, "GH100"));
  CHECK(needs_tensor_group(op, "GA100"));
  op.math = MathType::fp8;
  CHECK(needs_tensor_group(op, "GH100"));  // mma.sync in fp8 runs as fp16 there
  op.math = MathType::bf16;
  CHECK_FALSE(needs_tensor_group(op, "GA100"));
  CHECK_FALSE(needs_tensor_group(op, "GH100"));
}
