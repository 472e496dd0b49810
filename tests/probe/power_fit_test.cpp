// Constants of the power law from runs: planted ones come back, and what is missing is named.
#include "cupti_probe/power_fit.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "cupti_probe/record.hpp"
#include "model/user_error.hpp"

using namespace kvroof;
using namespace kvroof::probe;

namespace {

constexpr Clock kTop{2e9};

/// Round numbers near those of an H200; the voltage falls 0.8 times as fast as the clock.
PowerLaw planted() {
  PowerLaw p{.held = Watts{670}, .idle = Watts{80}, .clocked = Watts{40}, .slope = 0.8};
  p.tensor[static_cast<std::size_t>(MathType::bf16)] = EnergyPerFlop{0.7e-12};
  p.tensor[static_cast<std::size_t>(MathType::fp16)] = EnergyPerFlop{0.75e-12};
  p.tensor[static_cast<std::size_t>(MathType::fp8)] = EnergyPerFlop{0.5e-12};
  p.mma_sync = EnergyPerFlop{1e-12}, p.fp32 = EnergyPerFlop{3e-12};
  p.hbm_read = EnergyPerByte{70e-12}, p.hbm_written = EnergyPerByte{110e-12};
  p.l2 = EnergyPerByte{35e-12}, p.multicast = EnergyPerByte{20e-12};
  p.smem = EnergyPerByte{7e-12}, p.exp = Joules{12e-12};
  return p;
}

/// A second of work at a set clock. What it draws is written out, not asked of the model.
struct Second {
  MathType math = MathType::bf16;
  bool mma_sync = false;
  double tflop = 0, fp32 = 0, hbm_read = 0, hbm_written = 0, l2 = 0, multicast = 0, smem = 0,
         exps = 0;  // all in 1e12
  double pace = 1;
};
SteadyRow row(const std::string& name, const Second& s, SteadyPart part = SteadyPart::load) {
  Op op{.op_class = OpClass::gemm, .math = s.math};
  op.execution.mma_sync = s.mma_sync;
  op.work.flops = op.work.flops_executed = Flops{s.tflop * 1e12};
  op.work.fp32 = Flops{s.fp32 * 1e12};
  op.work.read.weights = Bytes{s.hbm_read * 1e12};
  op.work.written.activations = Bytes{s.hbm_written * 1e12};
  op.work.l2_to_sm = Bytes{s.l2 * 1e12}, op.work.multicast = Bytes{s.multicast * 1e12};
  op.work.smem = Bytes{s.smem * 1e12};
  op.work.exps = s.exps * 1e12;
  const double tensor = s.mma_sync                 ? 1
                        : s.math == MathType::fp8  ? 0.5
                        : s.math == MathType::fp16 ? 0.75
                                                   : 0.7;
  const double logic =
      tensor * s.tflop + 3 * s.fp32 + 35 * s.l2 + 20 * s.multicast + 7 * s.smem + 12 * s.exps;
  const double v = 1 - 0.8 * (1 - s.pace);
  return {
      .part = part,
      .name = name,
      .args = "",
      .ops = {op},
      .seconds = {Seconds{1}},
      .watts = Watts{80 + v * v * (40 * s.pace + logic) + 70 * s.hbm_read + 110 * s.hbm_written},
      .set_clock = s.pace * kTop,
      .clock = 0.9 * s.pace * kTop,
      .rested = {}};
}

std::vector<SteadyRow> loads() {
  return {row("idle", {}),
          row("slow idle", {.pace = 0.2}),
          row("hbm", {.hbm_read = 4, .l2 = 4}),
          row("write", {.hbm_written = 4}),
          row("l2", {.l2 = 8}),
          row("exp", {.exps = 4}),
          row("fp32", {.fp32 = 60}),
          row("smem", {.smem = 30}),
          row("mma", {.mma_sync = true, .tflop = 600}),
          row("bf16, half", {.tflop = 450, .smem = 9}),
          row("bf16", {.tflop = 850, .smem = 17, .pace = 0.88}),
          row("bf16, l2", {.tflop = 700, .l2 = 3, .smem = 14, .pace = 0.85}),
          row("bf16, hbm", {.tflop = 600, .hbm_read = 3, .l2 = 3, .smem = 12, .pace = 0.7}),
          row("fp16", {.math = MathType::fp16, .tflop = 820, .smem = 16, .pace = 0.86}),
          row("k0", {.tflop = 650, .l2 = 5, .multicast = 3, .smem = 14, .pace = 0.73},
              SteadyPart::kernel),
          row("k1", {.tflop = 650, .l2 = 5, .multicast = 3, .smem = 15, .pace = 0.74},
              SteadyPart::kernel),
          row("k2", {.tflop = 600, .l2 = 6, .multicast = 2, .smem = 14, .pace = 0.75},
              SteadyPart::kernel),
          row("k3", {.math = MathType::fp8, .tflop = 1200, .l2 = 6, .smem = 17, .pace = 0.68},
              SteadyPart::kernel)};
}

}  // namespace

TEST_CASE("planted energies and the slope of the voltage come back") {
  // Runs of other GPUs have a limit of theirs: here all that is slowed down counts as limited.
  const PowerFit fit = fit_power(loads(), kTop, Watts{300});
  const PowerLaw p = planted();
  CHECK(fit.law.slope == doctest::Approx(0.8).epsilon(0.01));
  CHECK(fit.law.idle.value == doctest::Approx(p.idle.value).epsilon(0.02));
  CHECK(fit.law.clocked.value == doctest::Approx(p.clocked.value).epsilon(0.02));
  for (const MathType m : {MathType::bf16, MathType::fp16, MathType::fp8})
    CHECK(fit.law.tensor[static_cast<std::size_t>(m)].value ==
          doctest::Approx(p.tensor[static_cast<std::size_t>(m)].value).epsilon(0.02));
  CHECK(fit.law.mma_sync.value == doctest::Approx(p.mma_sync.value).epsilon(0.02));
  CHECK(fit.law.hbm_read.value == doctest::Approx(p.hbm_read.value).epsilon(0.02));
  CHECK(fit.law.hbm_written.value == doctest::Approx(p.hbm_written.value).epsilon(0.02));
  CHECK(fit.law.l2.value == doctest::Approx(p.l2.value).epsilon(0.02));
  CHECK(fit.law.multicast.value == doctest::Approx(p.multicast.value).epsilon(0.02));
  CHECK(fit.law.exp.value == doctest::Approx(p.exp.value).epsilon(0.02));
  CHECK(fit.tensor_share == doctest::Approx(0.9));
  CHECK(fit.judged == 2);  // k1, k2
  CHECK(fit.draw_error_judged < 0.01);
}

TEST_CASE("a kernel that did not make the fit shows when it draws more") {
  std::vector<SteadyRow> rows = loads();
  rows[15].watts = 1.2 * rows[15].watts;  // k1
  const PowerFit fit = fit_power(rows, kTop, Watts{300});
  // One of two is off by 1 - 1 / 1.2.
  CHECK(fit.draw_error_judged == doctest::Approx((1 - 1 / 1.2) / 2).epsilon(0.1));
}

TEST_CASE("what stands aside makes no fit, and what no run shows is named") {
  std::vector<SteadyRow> rows = loads();
  rows.push_back(row("zeros", {.tflop = 900}, SteadyPart::aside));
  rows.back().watts = Watts{150};
  CHECK(fit_power(rows, kTop, Watts{300}).draw_error_judged < 0.01);
  std::erase_if(rows, [](const SteadyRow& r) { return r.name == "exp"; });
  CHECK_THROWS_WITH_AS(fit_power(rows, kTop, Watts{300}),
                       "power: no row shows 'exponential'; name kernels that use it", UserError);
}

TEST_CASE("rested launches: a planted knee and droop come back, half of the shapes judges") {
  PowerFit fit{.law = planted()};
  fit.tensor_share = 0.9;
  std::vector<TimedShape> shapes;
  for (int i = 0; i < 40; ++i) {
    // 80 + 40 + 0.7·TFLOP/s watts; 900 W is the knee, 3000 W more would stop the clock.
    const double tflops = 800 + 20 * i, watts = 120 + 0.7 * tflops;
    Op op{.op_class = OpClass::gemm, .math = MathType::bf16};
    op.work.flops = op.work.flops_executed = Flops{tflops * 1e12 * 1e-3};
    const double pace = watts < 900 ? 1 : 1 - (watts - 900) / 3000;
    shapes.push_back({.kernel = "k",
                      .args = std::to_string(i),
                      .stages = {op},
                      .measured = Seconds{1e-3},
                      .sm_clock = 0.9 * pace * kTop});
  }
  fit_one_shot(fit, shapes, kTop);
  CHECK(fit.law.knee.value == doctest::Approx(900).epsilon(0.01));
  CHECK(fit.law.droop.value == doctest::Approx(3000).epsilon(0.02));
  CHECK(fit.clocks_fitted == 20);
  CHECK(fit.one_shot_error_judged < 0.002);
}

TEST_CASE("the H200's power block is what its record gives, and kernels not fitted agree") {
  const std::string source = KVROOF_SOURCE_DIR;
  const HardwareProfile profile = load_profile(source + "/hw_profiles/h200-sxm-141gb.yaml");
  const std::vector<SteadyRow> rows =
      read_power_record(source + "/reports/h200-sxm-141gb/power.csv");
  const PowerFit fit =
      fit_power(rows, *profile.datasheet.boost_clock.value, *profile.datasheet.power.value);
  const auto law = power_law(profile);
  REQUIRE(law.has_value());
  const auto same = [](auto a, auto b) {
    return a.value == doctest::Approx(b.value).epsilon(1e-3);
  };
  CHECK(same(fit.law.held, law->held));
  CHECK(same(fit.law.idle, law->idle));
  CHECK(same(fit.law.tensor[static_cast<std::size_t>(MathType::bf16)],
             law->tensor[static_cast<std::size_t>(MathType::bf16)]));
  CHECK(same(fit.law.hbm_read, law->hbm_read));
  CHECK(same(fit.law.l2, law->l2));
  CHECK(same(fit.law.smem, law->smem));
  CHECK(fit.law.slope == doctest::Approx(law->slope).epsilon(1e-3));
  // The target of the law: within 5 % where nothing was fitted.
  CHECK(fit.judged >= 6);
  CHECK(fit.clock_error_judged < 0.05);
  CHECK(fit.draw_error_judged < 0.05);
}

TEST_CASE("a record reads back as it was written") {
  const auto file = std::filesystem::temp_directory_path() / "kvroof_power_record_test.csv";
  std::vector<SteadyRow> rows{
      row("bf16", {.tflop = 850, .smem = 17, .pace = 0.88}),
      row("gemm_fp8", {.math = MathType::fp8, .tflop = 1}, SteadyPart::kernel)};
  rows[0].ops.push_back(rows[0].ops[0]), rows[0].seconds.push_back(Seconds{0.5});
  rows[1].args = "k=8192 m=1";
  rows.push_back({.name = "idle", .watts = Watts{77}, .set_clock = Clock{345e6}});
  {
    Record record(file.string(), power_columns());
    for (const SteadyRow& r : rows)
      for (const auto& cells : power_cells(r)) record.row(cells);
    record.close({"# gpu: a test"});
  }
  const std::vector<SteadyRow> again = read_power_record(file.string());
  std::filesystem::remove(file);
  REQUIRE(again.size() == 3);
  CHECK(again[0].ops.size() == 2);
  CHECK(again[0].seconds[1] == Seconds{0.5});
  CHECK(again[0].watts == rows[0].watts);
  CHECK(again[1].part == SteadyPart::kernel);
  CHECK(again[1].args == "k=8192 m=1");
  CHECK(again[1].ops[0].math == MathType::fp8);
  CHECK(again[2].ops.empty());
  CHECK_FALSE(again[2].clock.has_value());
}
