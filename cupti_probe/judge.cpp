#include "cupti_probe/judge.hpp"

#include <cmath>

namespace kvroof::probe {
namespace {

// An idle range moves a few KiB (page tables, the profiler's own records),
// and so does every kernel.
constexpr double kHbmNoise = 32 * 1024;
// What a whole range writes for the profiler varies by this much.
constexpr double kRangeNoise = 512 * 1024;

}  // namespace

const char* word(Verdict v) {
  switch (v) {
    case Verdict::ok:
      return "ok";
    case Verdict::off:
      return "OFF";
    case Verdict::known:
      return "known";
    case Verdict::open:
      break;
  }
  return "–";
}

std::optional<double> Check::ratio() const {
  if (!predicted || !measured || *predicted == 0) return std::nullopt;
  return *measured / *predicted;
}

Check judged(Check check) {
  if (!check.predicted || !check.measured) return check;
  const double allowed = check.tolerance * std::abs(*check.predicted) + check.slack;
  check.verdict =
      std::abs(*check.measured - *check.predicted) <= allowed ? Verdict::ok : Verdict::off;
  return check;
}

bool needs_tensor_group(const Op& op, std::string_view chip) {
  if (op.work.flops_executed == Flops{} || op.math == MathType::bf16) return false;
  if (chip == "GA100") return true;  // only bf16 fits beside the memory counters
  // GH100 runs fp8 through mma.sync as fp16; all its mma.sync formats but bf16 are in group tensor.
  if (chip == "GH100") return op.execution.mma_sync;
  return op.math != MathType::fp8;
}

std::vector<Check> check_kernel(const Op& op, const Counts& roofline, const Counts* tensor,
                                std::optional<Seconds> predicted_time, const Counts* l2) {
  const Work& work = op.work;
  std::vector<Check> checks;
  checks.push_back(judged({.quantity = "executed FLOP",
                           .unit = "flop",
                           .predicted = work.flops_executed.value,
                           .measured = tensor ? (*tensor)["all"] : roofline["tensor_flop"]}));
  // What one kernel of the launch hands to the next is written once and read back from L2.
  const Bytes from_l2 = max(op.handed_over / 2, op.kept.read);
  checks.push_back(judged({.quantity = "HBM read",
                           .unit = "byte",
                           .predicted = (work.hbm_read() + work.reread - from_l2).value,
                           .measured = roofline["dram_read"],
                           .tolerance = kReadTolerance,
                           .slack = kHbmNoise}));
  checks.push_back(
      judged({.quantity = "HBM written",
              .unit = "byte",
              .predicted = (work.hbm_written() - op.kept.written).value,
              .measured = roofline.written_back ? roofline.written_back : roofline["dram_written"],
              .tolerance = kWrittenTolerance,
              .slack = roofline.written_back ? kRangeNoise : kHbmNoise}));
  const auto stated = [&](Check check, std::string_view why) {
    if (*check.predicted > 0) {
      checks.push_back(judged(std::move(check)));
    } else {
      check.predicted.reset();
      check.note = why;
      checks.push_back(std::move(check));
    }
  };
  stated({.quantity = "L2 to SM",
          .unit = "byte",
          .predicted = (work.l2_to_sm + (l2 ? work.multicast : Bytes{})).value,
          .measured = l2 ? (*l2)["received"] : roofline["l2_to_sm"],
          .tolerance = kTrafficTolerance},
         "not stated by the model");
  if (l2 && work.l2_to_sm > Bytes{})
    checks.push_back({.quantity = "L2 reads",
                      .unit = "byte",
                      .predicted = work.l2_to_sm.value,
                      .measured = roofline["l2_to_sm"],
                      .tolerance = kTrafficTolerance,
                      .note = "for information: equal reads of neighbouring SMs merge"});
  stated({.quantity = "exponentials",
          .unit = "op",
          .predicted = work.exps,
          .measured = roofline["exps"],
          .tolerance = kExpTolerance},
         "none predicted; conversions share the pipe");
  if (work.smem > Bytes{})
    checks.push_back({.quantity = "shared memory",
                      .unit = "byte",
                      .predicted = work.smem.value,
                      .measured = roofline["smem"],
                      .tolerance = kTrafficTolerance,
                      .note = "for information"});
  if (roofline.kernels_per_launch > 0 && work.launches > 0)
    checks.push_back(judged({.quantity = "kernels",
                             .unit = "1",
                             .predicted = work.launches,
                             .measured = static_cast<double>(roofline.kernels_per_launch)}));
  Check time{.quantity = "time",
             .unit = "s",
             .measured = roofline["time"],
             .tolerance = kTimeTolerance,
             .note = predicted_time ? "" : "no hardware profile"};
  if (predicted_time) time.predicted = predicted_time->value;
  checks.push_back(judged(std::move(time)));
  return checks;
}

Check check_fma(const Op& op, const Counts& fp32) {
  return judged({.quantity = "FMA",
                 .unit = "op",
                 .predicted = op.work.fp32.value / 2,
                 .measured = fp32["ffma"]});
}

}  // namespace kvroof::probe
