// The constants of a kernel from its times: planted ones come back, and half of the shapes judges.
#include "cupti_probe/kernel_fit.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "model/user_error.hpp"

using namespace kvroof;
using namespace kvroof::probe;

namespace {

Machine h200() {
  Machine m{.id = "h200", .num_sms = 132, .sm_clock = Clock{1.83e9}, .boost_clock = Clock{1.98e9}};
  m.tensor[static_cast<std::size_t>(MathType::bf16)] = {Throughput{989.4e12}, Throughput{917e12}};
  m.fp32 = {Throughput{67e12}, Throughput{65e12}};
  m.exps_per_second = 4.14e12;
  m.hbm = {Bandwidth{4.8e12}, Bandwidth{4.588e12}};
  m.l2 = {Bandwidth{9.5e12}, Bandwidth{9.5e12}};
  m.fit.fill({.compute = 0.7, .memory = 0.7, .ramp = Seconds{5e-6}});
  return m;
}

/// A stream of `bytes` or a product of `flops`, on a full grid.
TimedShape shape(double bytes, double flops, double seconds) {
  Op op{.op_class = OpClass::decode_attention};
  op.work.read.kv = Bytes{bytes};
  op.work.flops = op.work.flops_executed = Flops{flops};
  op.work.launches = 1;
  return {.kernel = "k", .args = "", .stages = {op}, .measured = Seconds{seconds}};
}

}  // namespace

TEST_CASE("bytes at 90 % of 4.8 TB/s, FLOPs at half of 989.4 TFLOP/s, 3 us a launch: found again") {
  std::vector<TimedShape> shapes;
  for (const double bytes : {1e6, 1e6, 10e6, 10e6, 100e6, 100e6, 1e9, 1e9})
    shapes.push_back(shape(bytes, 0, bytes / (0.9 * 4.8e12) + 3e-6));
  for (const double flops : {1e10, 1e10, 1e12, 1e12})
    shapes.push_back(shape(0, flops, flops / (0.5 * 989.4e12) + 3e-6));
  const KernelFit fit = fit_kernel("k", shapes, h200());
  CHECK(fit.constants.memory == doctest::Approx(0.9).epsilon(0.01));
  CHECK(fit.constants.compute == doctest::Approx(0.5).epsilon(0.01));
  CHECK(fit.constants.ramp.value == doctest::Approx(3e-6).epsilon(0.02));
  CHECK_FALSE(fit.constants.overlap.has_value());  // no exponentials
  CHECK(fit.fitted == 6);
  CHECK(fit.judged == 6);
  CHECK(fit.error_judged < 0.01);
}

TEST_CASE("shapes that were not fitted judge: a kernel twice as slow on them shows") {
  std::vector<TimedShape> shapes;
  for (const double slower : {1, 2, 2, 1, 1, 2, 2, 1})
    shapes.push_back(shape(1e9, 0, slower * 1e9 / (0.9 * 4.8e12)));
  const KernelFit fit = fit_kernel("k", shapes, h200());
  CHECK(fit.error_fitted < 0.03);
  CHECK(fit.error_judged == doctest::Approx(0.5).epsilon(0.1));
}

TEST_CASE("where exponentials run beside products, how much of them hides is fitted, no share") {
  std::vector<TimedShape> shapes;
  for (const double flops : {1e11, 1e11, 3e11, 3e11, 1e12, 1e12, 3e12, 3e12}) {
    const double exps = flops / 512, products = flops / 989.4e12, beside = exps / 4.14e12;
    shapes.push_back(shape(0, flops, products + 0.7 * beside + 3e-6));
    shapes.back().stages.front().work.exps = exps;
  }
  const KernelConstants k = fit_kernel("k", shapes, h200()).constants;
  REQUIRE(k.overlap.has_value());
  CHECK(*k.overlap == doctest::Approx(0.3).epsilon(0.05));
  CHECK(k.compute == 1);
}

TEST_CASE("warps that load operands of mma.sync themselves overlap both, wgmma has a share") {
  Machine machine = h200();
  machine.mma_sync_share = 0.5, machine.smem = Bandwidth{32e12};
  std::vector<TimedShape> shapes;
  for (const double flops : {1e11, 1e11, 3e11, 3e11, 1e12, 1e12, 3e12, 3e12}) {
    const double smem = flops / 20, products = flops / (0.5 * 989.4e12), beside = smem / 32e12;
    shapes.push_back(shape(0, flops, products + 0.4 * beside + 3e-6));
    shapes.back().stages.front().work.smem = Bytes{smem};
    shapes.back().stages.front().execution.mma_sync = true;
  }
  const KernelConstants k = fit_kernel("k", shapes, machine).constants;
  REQUIRE(k.overlap.has_value());
  CHECK(*k.overlap == doctest::Approx(0.6).epsilon(0.05));
  for (TimedShape& s : shapes) s.stages.front().execution.mma_sync = false;
  CHECK_FALSE(fit_kernel("k", shapes, machine).constants.overlap.has_value());
}

TEST_CASE("constants that no shape tells stay at what is usual") {
  const std::vector<TimedShape> shapes{shape(1e9, 0, 1e9 / (0.9 * 4.8e12)),
                                       shape(1e9, 0, 1e9 / (0.9 * 4.8e12))};
  CHECK(fit_kernel("k", shapes, h200()).constants.compute == doctest::Approx(0.8));
}

TEST_CASE("where cycles are counted, a launch alone is left to fit") {
  // Idle tensor cores: 1.98 GHz. Exponentials that no law but the pipes' would ask for.
  const auto counted = [](double cycles, double seconds) {
    TimedShape s = shape(0, 0, seconds);
    Op& op = s.stages.front();
    op.work.exps = 1e12, op.execution.tensor_busy = 0;
    op.execution.sm_cycles = cycles, op.execution.fill_cycles = 1.98e3;
    return s;
  };
  CHECK(launch_time(counted(1.98e5, 1).stages, h200(), nullptr)->value > 1e-4);  // a class's ramp
  const auto fit = [&](double launch) {
    std::vector<TimedShape> shapes;
    for (const double cycles : {1.98e4, 1.98e4, 1.98e5, 1.98e5, 1.98e6, 1.98e6, 1.98e7, 1.98e7})
      shapes.push_back(counted(cycles, cycles / 1.98e9 + 1e-6 + launch));
    return fit_kernel("k", shapes, h200());
  };
  CHECK(fit(3e-6).constants.ramp.value == doctest::Approx(3e-6).epsilon(0.01));
  CHECK(fit(3e-6).error_judged < 1e-3);
}

TEST_CASE("an op reads back from its record") {
  Op op{.op_class = OpClass::gemm, .math = MathType::fp8};
  op.work.flops = Flops{1.5e12}, op.work.flops_executed = Flops{1.75e12};
  op.work.read = {Bytes{1}, Bytes{2}, Bytes{3.5}};
  op.work.written.activations = Bytes{7e9};
  op.work.reread = Bytes{11}, op.work.l2_to_sm = Bytes{13};
  op.work.multicast = Bytes{37}, op.work.l2_added = Bytes{41}, op.work.exps = 17;
  op.work.ctas = 1234567, op.work.launches = 2;
  op.execution = {.ctas_per_sm = 2, .pipe_overlap = 0.25, .mma_sync = true, .sm_cycles = 23};
  op.execution.fill_cycles = 41;
  op.execution.tensor_busy = 0.75;
  op.execution.longest = 1.75, op.execution.longest_first = true, op.count = 16;
  op.kept = {Bytes{29}, Bytes{31}};
  op.handed_over = Bytes{19};
  const Op back = read_op(op_text(op));
  CHECK(back.work == op.work);
  CHECK(back.execution == op.execution);
  CHECK(back.count == op.count);
  CHECK(back.op_class == op.op_class);
  CHECK(back.math == op.math);
  CHECK(back.handed_over == op.handed_over);
  CHECK(back.kept == op.kept);
  CHECK_THROWS_AS(read_op("flops=1"), UserError);
}
