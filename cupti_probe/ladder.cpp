// kvroof-probe ladder: from naive attention to FlashAttention-3 and beyond, one idea a rung. Each
// rung is predicted first, then timed and counted:
// what the idea gained, and which pipe is busy now.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "cupti_probe/count.hpp"
#include "cupti_probe/environment.hpp"
#include "cupti_probe/kernel_fit.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/verbs.hpp"
#include "kernels/device.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "model/time.hpp"
#include "reports/figures/op_times.hpp"
#include "scenarios/cli/stack.hpp"

namespace kvroof::probe {
namespace {

struct Rung {
  const char *kernel, *name;
  double step = 0;  // of the kernel "ladder"
};
constexpr Rung kRungs[] = {
    {"naive", "naive: scores in memory"},
    {"flash_v1", "FlashAttention-1: keys outside"},
    {"flash_v2", "FlashAttention-2: queries outside, mma.sync"},
    {"ladder", "wgmma and TMA, in step", 1},
    {"ladder", "+ warp specialisation", 2},
    {"ladder", "+ ping-pong", 3},
    {"ladder", "+ overlap within a warpgroup", 4},
    {"ladder", "ping-pong + persistent, longest first", 5},
    {"ladder", "+ polynomial exp2, lazy rescaling", 6},
};

struct Row {
  std::string name;
  OpTime predicted;
  double flops = 0, measured = 0;
  std::vector<std::optional<double>> pipes;  // tensor, xu, fma, alu, smem
  std::optional<double> sm_clock;            // while they were counted
};

/// Launch by launch with rests, as the tensor ceiling was measured: under load without a rest the
/// power limit lowers the clock, and a rung that keeps the pipes busier loses some of its gain.
const kernels::Timing kBurst{.repeats = 15, .launches = 1, .pause_seconds = 0.03};

constexpr const char* kPipes[] = {"tensor", "xu", "fma", "alu", "smem"};

/// The law's time, with the constants of the kernel itself where its other shapes gave some.
OpTime predict(const kernels::Case& c, const Machine& machine, const KernelConstants* constants) {
  OpTime t = time(c.op, machine, Launch::graph);
  const std::vector<Op> stages = c.stages.empty() ? std::vector{c.op} : c.stages;
  t.expected = launch_time(stages, machine, constants).value_or(t.expected);
  return t;
}

Row run_rung(const Rung& rung, const kernels::Entry& entry, const LadderOptions& options,
             bool causal, const Machine& machine, const std::vector<KernelFit>& fits) {
  kernels::Args args{{"b", 1},           {"h_q", 16}, {"s_q", options.tokens},
                     {"causal", causal}, {"d", 128},  {"d_qk", 128}};
  if (rung.step > 0) args["step"] = rung.step;
  const kernels::Case c = entry.make(args);
  Row row{.name = rung.name,
          .predicted = predict(c, machine, find_fit(fits, entry.name)),
          .flops = c.op.work.flops.value};
  fmt::print("{:<6} {:<44} predicted {:>10}", causal ? "causal" : "full", row.name,
             with_prefix(row.predicted.expected.value, "s"));
  std::fflush(stdout);
  row.measured = kernels::time_case(c, kBurst).median;
  fmt::print("  measured {:>10}  {:>4.0f} TFLOP/s", with_prefix(row.measured, "s"),
             row.flops / row.measured / 1e12);
  if (options.counters) {
    const Counts counts = count(c, load_group("pipes"), {.launches = 3});
    for (const char* pipe : kPipes) row.pipes.push_back(counts[pipe]);
    row.sm_clock = counts["sm_clock"];
    for (std::size_t i = 0; i < std::size(kPipes); ++i)
      fmt::print("  {} {:.0f} %", kPipes[i], 100 * row.pipes[i].value_or(0));
  }
  fmt::print("\n");
  return row;
}

std::vector<Row> climb(const LadderOptions& options, bool causal, const Machine& machine,
                       const std::vector<KernelFit>& fits) {
  std::vector<Row> rows;
  for (const Rung& rung : kRungs) {
    try {
      rows.push_back(run_rung(rung, entry_named(rung.kernel), options, causal, machine, fits));
    } catch (const kernels::NotOnThisGpu& e) {
      fmt::print("{} left out: {}\n", rung.name, e.what());
    }
  }
  return rows;
}

reports::OpTimes figure_of(const std::vector<Row>& rows, bool causal, const LadderOptions& o) {
  reports::OpTimes f{.caption = {.title = causal ? "Causal mask" : "Full mask",
                                 .subtitle = fmt::format("16 heads, d 128, {:.0f} tokens, bf16, {}",
                                                         o.tokens, kernels::gpu().name),
                                 .footer = "kvroof-probe ladder: predicted before it was measured"},
                     .rows = {}};
  for (const Row& r : rows) {
    reports::Details details{
        .rows = {{"TFLOP/s", fmt::format("{:.0f}", r.flops / r.measured / 1e12)}},
        .derivation = ""};
    for (std::size_t i = 0; i < r.pipes.size(); ++i)
      if (r.pipes[i])
        details.rows.push_back({kPipes[i], fmt::format("{:.0f} %", 100 * *r.pipes[i])});
    f.rows.push_back({.name = r.name,
                      .floor = r.predicted.floor,
                      .expected = r.predicted.expected,
                      .measured = Seconds{r.measured},
                      .bound = std::string(kvroof::name(r.predicted.bound)),
                      .details = std::move(details)});
  }
  return f;
}

}  // namespace

int ladder(const LadderOptions& options, const std::string& command) {
  const Machine machine = to_machine(load_profile(profile_file(options.profile)));
  const std::vector<KernelFit> fits = read_fits(fits_file(options.fits, machine.id));
  const std::unique_ptr<Record> record =
      open_record(options.csv, {"mask", "rung", "predicted_s", "measured_s", "error",
                                "predicted_gain", "measured_gain", "tflop_s", "tensor", "xu", "fma",
                                "alu", "smem", "sm_clock_hz"});
  check_report(options.report);
  require_gpu();
  SensorWatch watch(0);
  std::vector<reports::Figure> figures;
  for (const bool causal : {false, true}) {
    const std::vector<Row> rows = climb(options, causal, machine, fits);
    for (std::size_t i = 0; record && i < rows.size(); ++i) {
      const Row &r = rows[i], &before = rows[i > 0 ? i - 1 : 0];
      const double predicted = r.predicted.expected.value;
      std::vector<std::string> fields{causal ? "causal" : "full",
                                      r.name,
                                      csv_number(predicted),
                                      csv_number(r.measured),
                                      csv_number(predicted / r.measured - 1),
                                      csv_number(before.predicted.expected.value / predicted),
                                      csv_number(before.measured / r.measured),
                                      csv_number(r.flops / r.measured / 1e12)};
      for (std::size_t p = 0; p < std::size(kPipes); ++p)
        fields.push_back(p < r.pipes.size() ? csv_number(r.pipes[p]) : "");
      fields.push_back(csv_number(r.sm_clock));
      record->row(fields);
    }
    figures.push_back(reports::figure(causal ? "ladder-causal" : "ladder-full",
                                      figure_of(rows, causal, options)));
  }
  const SensorRange sensors = watch.stop();
  const Environment env = environment(command, options.counters);
  fmt::print("\n{}\n", headline(env));
  if (record) record->close(header_lines(env, sensors));
  return options.report.empty() ? 0 : cli::write_figures(figures, options.report);
}

}  // namespace kvroof::probe
