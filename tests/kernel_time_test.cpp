// Time of one kernel against hand arithmetic on a machine of round numbers.
#include "model/kernel_time.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "model/clock.hpp"
#include "model/time.hpp"

using namespace kvroof;

namespace {

/// 10 SMs, 1 PFLOP/s, 4e12 exponentials/s, 1 TB/s of HBM, 1 GHz.
Machine ten_sms() {
  Machine m{.id = "ten", .num_sms = 10, .boost_clock = Clock{1e9}};
  m.tensor[static_cast<std::size_t>(MathType::bf16)] = {Throughput{1e15}, Throughput{1e15}};
  m.mma_sync_share = 0.5;
  m.fp32 = {Throughput{1e14}, Throughput{1e14}};
  m.exps_per_second = 4e12;
  m.hbm = {Bandwidth{1e12}, Bandwidth{1e12}};
  m.l2 = {Bandwidth{1e13}, Bandwidth{1e13}};
  m.smem = Bandwidth{1e13};
  return m;
}

Op product(double flops, double ctas, int per_sm) {
  Op op;
  op.work.flops = op.work.flops_executed = Flops{flops};
  op.work.ctas = ctas;
  op.execution.ctas_per_sm = per_sm;
  return op;
}

double ms(const Op& op, const KernelConstants& k = {}) {
  return 1e3 * kernel_time(op, ten_sms(), k).value;
}

}  // namespace

TEST_CASE("pipes: the longest, and what of the others does not hide under it") {
  Op op = product(1e12, 0, 1);  // 1 ms of tensor work
  op.work.exps = 2e9;           // 0.5 ms
  CHECK(ms(op, {.overlap = 1}) == doctest::Approx(1));
  CHECK(ms(op, {.overlap = 0.6}) == doctest::Approx(1.2));
  op.work.smem = Bytes{2e10};  // 2 ms: now the longest, with 1.5 ms beside it
  CHECK(ms(op, {.overlap = 0.6}) == doctest::Approx(2.6));
  op.execution.mma_sync = true;  // tensor work takes 2 ms too
  CHECK(ms(op, {.overlap = 0.6}) == doctest::Approx(3));
  CHECK(ms(product(1e12, 0, 1), {.compute = 0.8}) == doctest::Approx(1.25));
}

TEST_CASE("equal blocks: a part-filled wave takes as long as a full one, unless its SMs gain") {
  CHECK(ms(product(3e12, 15, 1)) == doctest::Approx(4));  // 10 blocks of 2 ms, then 5
  CHECK(ms(product(3e12, 20, 1)) == doctest::Approx(3));
  // Two a SM share its tensor cores; the 10 of the last wave have them alone.
  CHECK(ms(product(3e12, 30, 2)) == doctest::Approx(3));
  // With exponentials a lone block keeps 0.3 of the overlap: 20 blocks at 2 of 3 ms, 10 at 1 ms and
  // 0.7 of 0.5 ms.
  Op op = product(3e12, 30, 2);
  op.work.exps = 6e9;
  CHECK(ms(op, {.overlap = 1}) == doctest::Approx(3.35));
}

TEST_CASE("unequal blocks: the longest is waited for, less where it starts first") {
  Op op = product(1e13, 100, 1);  // 10 ms of blocks of 1 ms, up to 2 ms
  op.execution.longest = 2;
  CHECK(ms(op) == doctest::Approx(10 + 4. / 3));
  op.execution.longest_first = true;
  CHECK(ms(op) == doctest::Approx(10));
  op = product(1e12, 10, 1);  // one block an SM
  op.execution.longest = 1.5;
  CHECK(ms(op) == doctest::Approx(1.5));
  // Two an SM, 20 blocks of 0.05 ms of all SMs: 0.5 ms alone, 1 ms beside another.
  op = product(1e12, 20, 2);
  op.execution.longest = 1.6;
  CHECK(ms(op) == doctest::Approx(1.6 * (0.75 * 1 + 0.25 * 0.5)));
}

TEST_CASE("few blocks cannot draw all of HBM: 64 bytes a clock and SM, shared by its blocks") {
  Op op = product(0, 5, 2);
  op.work.read.kv = Bytes{1e9};
  CHECK(ms(op) == doctest::Approx(6.25));  // 5 x 32 GB/s
  op.work.ctas = 0;
  CHECK(ms(op) == doctest::Approx(1));
  CHECK(ms(op, {.memory = 0.8}) == doctest::Approx(1.25));
}

TEST_CASE("sums that blocks add to in L2 are a pipe like the others") {
  Op op = product(1e12, 0, 1);       // 1 ms of tensor work
  op.work.l2_added = Bytes{7.74e9};  // 2 ms: 3.87 of the 10 TB/s that L2 is read at
  CHECK(ms(op, {.overlap = 1}) == doctest::Approx(2));
  CHECK(ms(op, {.overlap = 0.6}) == doctest::Approx(2.4));
}

TEST_CASE("what the kernel before left in L2 is read there, what this one leaves is stored there") {
  Op op = product(0, 0, 1);
  op.work.read.activations = op.work.written.activations = Bytes{1e9};
  CHECK(ms(op) == doctest::Approx(2));
  op.handed_over = Bytes{2e9};  // 1 GB from L2 at 10 TB/s, 1 GB to HBM at 1 TB/s
  CHECK(ms(op) == doctest::Approx(1.1));
  op.handed_over = Bytes{1e9};  // half of the reads
  CHECK(ms(op) == doctest::Approx(1.55));
  op.handed_over = Bytes{};
  Machine m = ten_sms();
  m.l2_effective = Bytes{1e8};  // 85 MB stay in L2, stored at 5.65 TB/s
  CHECK(1e3 * kernel_time(op, m, {}).value == doctest::Approx(2 - 0.085 + 0.085 / 5.65));
}

TEST_CASE("ramp a launch, block a wave; units must exist") {
  Op op = product(1e12, 30, 1);
  op.work.launches = 2;
  CHECK(ms(op, {.ramp = Seconds{1e-3}, .block = Seconds{1e-4}}) == doctest::Approx(1 + 2 + 0.3));
  op = product(1, 0, 1);
  op.math = MathType::fp4;
  CHECK_THROWS_AS(ms(op), std::domain_error);
}

TEST_CASE("counted cycles run at the clock that busy tensor cores leave") {
  Machine m = ten_sms();  // boost 1 GHz; the tensor roof: 80 % of a peak that is quoted at 0.9 GHz
  m.sm_clock = Clock{0.9e9};
  m.tensor[static_cast<std::size_t>(MathType::bf16)].achieved = Throughput{0.8e15};
  const auto body_ms = [&](double tensor_busy) {
    Op op = product(1, 10, 1);
    op.execution.sm_cycles = 1e6, op.execution.tensor_busy = tensor_busy;
    const OpTime t = time(op, m, Launch::graph);
    return 1e3 * (t.expected - t.gap.ramp - t.gap.launch).value;
  };
  CHECK(body_ms(0) == doctest::Approx(1));
  CHECK(body_ms(1) == doctest::Approx(1 / 0.6912));    // 0.96·0.8·0.9 GHz
  CHECK(body_ms(0.5) == doctest::Approx(1 / 0.8456));  // half-way between the clocks
}

TEST_CASE(
    "where few SMs work the power of all matters less: 0.65 of the pull on the clock is own") {
  Machine m = ten_sms();  // clocks as above: 1 GHz idle, 0.6912 GHz with all tensor cores busy
  m.sm_clock = Clock{0.9e9};
  m.tensor[static_cast<std::size_t>(MathType::bf16)].achieved = Throughput{0.8e15};
  const auto ghz = [&](double ctas, double tensor_busy) {
    Op op = product(1, ctas, 1);
    op.execution.tensor_busy = tensor_busy;
    return clock_under(op, m).value / 1e9;
  };
  CHECK(ghz(10, 1) == doctest::Approx(0.6912));
  CHECK(ghz(30, 1) == doctest::Approx(0.6912));  // waves: all SMs work
  CHECK(ghz(0, 1) == doctest::Approx(0.6912));   // a kernel that does not say
  // By hand, 5 of 10 SMs at 40 %: 1 - 0.4·0.3088·(0.65 + 0.35/2).
  CHECK(ghz(5, 0.4) == doctest::Approx(0.898096));
}

TEST_CASE("after rest the power of all is not limited at once: from 40 to 160 thousand cycles") {
  Machine m = ten_sms();
  m.sm_clock = Clock{0.9e9};
  m.tensor[static_cast<std::size_t>(MathType::bf16)].achieved = Throughput{0.8e15};
  const auto ghz = [&](double cycles, double fill) {
    Op op = product(1, 10, 1);
    op.execution.sm_cycles = cycles, op.execution.fill_cycles = fill;
    return clock_under(op, m, Before::rest).value / 1e9;
  };
  CHECK(ghz(3e4, 0) == doctest::Approx(1 - 0.3088 * 0.65));
  CHECK(ghz(9e4, 1e4) == doctest::Approx(1 - 0.3088 * (0.65 + 0.35 / 2)));  // half-way
  CHECK(ghz(1e6, 0) == doctest::Approx(0.6912));
}

TEST_CASE("counted cycles take the place of pipes, waves and blocks; what fills is added") {
  Machine m = ten_sms();
  m.sm_clock = Clock{1e9};
  Op op = product(3e12, 15, 1);  // pipes would take 4 ms
  op.execution.sm_cycles = 1e6, op.execution.fill_cycles = 2e5, op.execution.tensor_busy = 0;
  op.work.launches = 1;
  const KernelConstants k{.ramp = Seconds{1e-4}, .block = Seconds{1}};
  CHECK(1e3 * kernel_time(op, m, k).value == doctest::Approx(1 + 0.2 + 0.1));
  op.execution.sm_cycles = 0;  // pipes again, in two waves
  CHECK(1e3 * kernel_time(op, m, {}).value == doctest::Approx(4 + 0.2));
  op.execution.sm_cycles = 1e6, op.work.ctas = 0;
  op.work.read.kv = Bytes{2e9};  // 2 ms at 1 TB/s: the fill comes on top of either
  CHECK(1e3 * kernel_time(op, m, k).value == doctest::Approx(2 + 0.2 + 0.1));
}

TEST_CASE(
    "a long launch of tensor work after rest loses up to 8000 cycles to the limit's overshoot") {
  Op op = product(1, 10, 1);
  const auto lost = [&](double cycles) {
    op.execution.sm_cycles = cycles;
    return overshoot_cycles(op);
  };
  CHECK(lost(9e4) == 0);
  CHECK(lost(1.3e5) == doctest::Approx(4000));  // half-way from 100 to 160 thousand
  CHECK(lost(1e7) == 8000);
  op.execution.tensor_busy = 0;
  CHECK(lost(1e7) == 0);
  Machine m = ten_sms();
  m.sm_clock = Clock{1e9};
  op.execution.tensor_busy = 1, op.execution.sm_cycles = 2e5;
  const double busy = 0.96 * 1e9;  // as if the tensor roof were reached at 1 GHz
  CHECK(kernel_time(op, m, {}).value == doctest::Approx(2.08e5 / busy));
}
