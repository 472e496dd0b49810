// kvroof-probe step: one decode step of a real network with random weights, run by our kernels on a
// stream and as a CUDA graph; every op predicted by constants that came from its kernel alone, the
// step without rest by the power law.
#include <cuda_runtime.h>
#include <fmt/core.h>

#include <algorithm>
#include <memory>

#include "cupti_probe/count.hpp"
#include "cupti_probe/environment.hpp"
#include "cupti_probe/judge.hpp"
#include "cupti_probe/kernel_fit.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/step_shape.hpp"
#include "cupti_probe/verbs.hpp"
#include "kernels/ceilings/ceilings.hpp"
#include "kernels/check.hpp"
#include "kernels/device.hpp"
#include "kernels/step/step.hpp"
#include "model/power.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "model/user_error.hpp"

namespace kvroof::probe {
namespace {

/// The kernel whose constants an op of the step takes.
std::string_view kernel_of(const Op& op) {
  if (op.op_class == OpClass::gemm) return "gemm_bf16";
  if (op.op_class == OpClass::decode_attention) return "paged_decode";
  if (op.op_class == OpClass::prefill_attention)
    return op.execution.sm_cycles > 0 ? "flash_v3" : "flash_v2";
  if (op.name == "rope_append") return "rope_append";
  return op.name == "activation" ? "swiglu" : "rms_norm";
}

/// predicted | measured of one figure; kernels: of an op.
struct Line {
  std::string name, unit;
  std::optional<double> predicted, measured;
  std::size_t kernels = 0;
  std::optional<double> error() const {
    if (!predicted || !measured || *measured <= 0) return std::nullopt;
    return *predicted / *measured - 1;
  }
};

std::string shown(std::optional<double> value, std::string_view unit) {
  return value ? with_prefix(*value, unit) : "–";
}

void print(const Line& line) {
  const auto error = line.error();
  fmt::print("{:<18} {:>7} {:>14} {:>14}  {}\n", line.name,
             line.kernels > 0 ? fmt::format("{}", line.kernels) : "",
             shown(line.predicted, line.unit), shown(line.measured, line.unit),
             error ? fmt::format("{:+.1f} %", 100 * *error) : "");
}

/// All ops, and their sum: what each kernel takes from its first to its last cycle.
std::vector<Line> op_lines(const kernels::Step& step, const Machine& machine,
                           const std::vector<KernelFit>& fits, const Counts* counts) {
  std::vector<Line> lines;
  for (const Op& op : step.ops) {
    const auto t = launch_time(std::span(&op, 1), machine, find_fit(fits, kernel_of(op)));
    lines.push_back({.name = std::string(op.name), .unit = "s", .predicted = {}, .measured = {}});
    if (t) lines.back().predicted = t->value;
  }
  for (const std::size_t op : step.order) ++lines[op].kernels;
  if (counts != nullptr) {
    const std::size_t time = figure_index(counts->group, "time").value();
    for (std::size_t k = 0; k < step.order.size() && k < counts->kernels.size(); ++k) {
      auto& sum = lines[step.order[k]].measured;
      sum = sum.value_or(0) + counts->kernels[k][time].value_or(0);
    }
  }
  Line sum{.name = "all kernels", .unit = "s", .predicted = 0, .measured = {}};
  for (const Line& line : lines) {
    sum.kernels += line.kernels;
    if (sum.predicted && line.predicted) *sum.predicted += *line.predicted;
    else sum.predicted.reset();
    if (line.measured) sum.measured = sum.measured.value_or(0) + *line.measured;
  }
  lines.push_back(sum);
  return lines;
}

/// Seconds of a whole step, and the clock it ran at. Taken before counters are first enabled:
/// launches cost more from then.
struct Walls {
  double stream, graph;
  SensorRange sensors;
};
Walls measure(const kernels::Step& step) {
  SensorWatch watch(0);
  const auto median = [&](kernels::Submit submit) {
    return kernels::time_case(step.whole, {.repeats = 15, .sample_seconds = 1e-2, .submit = submit})
        .median;
  };
  const double stream = median(kernels::Submit::stream), graph = median(kernels::Submit::graph);
  return {stream, graph, watch.stop()};
}

/// Counters see each kernel rested; steps in a row meet the power limit, which lowers the clock.
void print_clocks(const Walls& walls, const Environment& env, const Counts& counts) {
  const auto counted = counts["sm_clock"], least = walls.sensors.low.sm_clock_hz,
             watts = walls.sensors.high.power_watts, limit = env.facts.power_limit_watts;
  if (!counted || !least || !watts || !limit) return;
  fmt::print(
      "\nSM clock: {} while counted, down to {} in steps one after another (up to {:.0f} of "
      "{:.0f} W)\n",
      with_prefix(*counted, "Hz"), with_prefix(*least, "Hz"), *watts, *limit);
}

/// On a stream the kernels follow one another, or wait for the host. The nodes of a graph start
/// before their predecessors have ended: each saves what an empty kernel takes by itself (`empty`)
/// beyond the period of empty nodes.
std::vector<Line> wall_lines(const Walls& walls, const LaunchCost& launch, const Line& all,
                             std::optional<double> empty) {
  const auto n = static_cast<double>(all.kernels);
  Line stream{"on a stream", "s", {}, walls.stream}, graph{"as a graph", "s", {}, walls.graph};
  if (all.predicted) stream.predicted = std::max(*all.predicted, n * launch.stream.value);
  if (all.predicted && empty)
    graph.predicted = *all.predicted - n * (*empty - launch.graph_node.value);
  return {stream, graph};
}

/// The step repeated without rest, by the power law; nullopt where an energy or a time is not known.
std::optional<SteadyStep> steady(const kernels::Step& step, const Machine& machine,
                                 const std::vector<KernelFit>& fits, const PowerLaw& law) {
  std::vector<PacedOp> ops;
  for (const Op& op : step.ops) {
    const KernelConstants* const fit = find_fit(fits, kernel_of(op));
    if (!launch_time(std::span(&op, 1), machine, fit)) return std::nullopt;
    auto op_at = paced(op, machine, law, [&op, fit](const Machine& m) {
      return launch_time(std::span(&op, 1), m, fit).value_or(Seconds{});
    });
    if (!op_at) return std::nullopt;
    ops.push_back(std::move(*op_at));
  }
  return steady_step(ops, machine, law);
}

/// The graph without rest, as measure() runs it: longer by what the limit adds to its kernels.
Line steady_line(const Line& graph, const Line& all, const std::optional<SteadyStep>& step) {
  Line line{"as a graph, steady", "s", {}, graph.measured};
  if (graph.predicted && all.predicted && step)
    line.predicted = *graph.predicted + std::max(0.0, step->seconds.value - *all.predicted);
  return line;
}

void print_steady(const std::optional<PowerLaw>& law, const std::optional<SteadyStep>& step,
                  const Machine& machine) {
  if (!law)
    fmt::print("no power figures in {}: steps under the power limit are predicted as if rested\n",
               machine.id);
  else if (!step) fmt::print("the step uses a format whose energy was not measured\n");
  else if (step->pace == 1)
    fmt::print("power law: {:.0f} W without rest, under the {:.0f} W held: full clock\n",
               step->wanted.value, law->held.value);
  else
    fmt::print("power law: {:.0f} W at full voltage, {:.0f} W held: set clock {} when steady\n",
               step->wanted.value, law->held.value,
               with_prefix(step->pace * machine.boost_clock.value, "Hz"));
}

/// l2: what arrives at the SMs, which one read of L2 serves several of.
std::vector<Line> count_lines(const Op& whole, const Counts& counts, const Counts& l2) {
  std::vector<Line> lines;
  for (const Check& c : check_kernel(whole, counts, nullptr, std::nullopt, &l2))
    if (c.quantity == "executed FLOP" || c.quantity == "HBM read" || c.quantity == "L2 to SM")
      lines.push_back({c.quantity, c.unit, c.predicted, c.measured});
  return lines;
}

void check_memory(const StepShape& shape) {
  std::size_t free = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&free, &total));
  const double room = 0.95 * static_cast<double>(free);
  if (shape.bytes() <= room) return;
  const auto fit = static_cast<int>((room - shape.other_bytes) / shape.layer_bytes);
  throw UserError(fmt::format(
      "step: {} needs {} of this GPU's free {}{}", shape.name, with_prefix(shape.bytes(), "B"),
      with_prefix(static_cast<double>(free), "B"),
      fit > 0 ? fmt::format(": take --layers {}, or a smaller --batch or --context", fit)
              : std::string(": take a smaller --batch or --context")));
}

}  // namespace

int step(const StepOptions& options, const std::string& command) {
  const HardwareProfile profile = load_profile(profile_file(options.profile));
  const Machine machine = to_machine(profile);
  const std::optional<PowerLaw> law = power_law(profile);
  const std::vector<KernelFit> fits = read_fits(fits_file(options.fits, machine.id));
  const StepShape shape = step_shape(load_llm(options.llm).shape, options);
  const std::unique_ptr<Record> record =
      open_record(options.csv, {"llm", "phase", "batch", "context", "layers", "figure", "unit",
                                "kernels", "predicted", "measured", "error"});
  require_gpu();
  check_memory(shape);
  const Environment env = environment(command, options.counters);
  const auto batch = static_cast<int>(shape.args.at("b"));
  const std::string what =
      options.prefill ? fmt::format("prefill of {} x {} tokens", batch, options.context)
                      : fmt::format("decode step, batch {}, context {}", batch, options.context);
  fmt::print("{}\n{}: {}, {} layers, random weights in bf16\n", headline(env), shape.name, what,
             shape.layers);
  for (const std::string& left_out : shape.left_out) fmt::print("left out: {}\n", left_out);

  SensorWatch watch(0);
  const kernels::Step run =
      options.prefill ? kernels::prefill_step(shape.args) : kernels::decode_step(shape.args);
  const Walls walls = measure(run);
  std::optional<Counts> counts, l2;
  std::optional<double> empty;
  if (options.counters) {
    const Group group = load_group("roofline");
    empty = count(kernels::empty_case(), group, {.launches = 20})["time"];
    counts = count(run.whole, group, {.launches = 1});
    l2 = count(run.whole, load_group("l2"), {.launches = 1});
  }
  std::vector<Line> lines = op_lines(run, machine, fits, counts ? &*counts : nullptr);
  const auto add = [&](const std::vector<Line>& more) {
    lines.insert(lines.end(), more.begin(), more.end());
  };
  const Line all = lines.back();
  add(wall_lines(walls, machine.launch, all, empty));
  std::optional<SteadyStep> at_limit;
  if (law) at_limit = steady(run, machine, fits, *law);
  if (law) add({steady_line(lines.back(), all, at_limit)});
  if (counts) add(count_lines(run.whole.op, *counts, *l2));

  fmt::print("\n{:<18} {:>7} {:>14} {:>14}\n", "", "kernels", "predicted", "measured");
  for (const Line& line : lines) {
    print(line);
    if (record)
      record->row({shape.name, options.prefill ? "prefill" : "decode", std::to_string(batch),
                   std::to_string(options.context), std::to_string(shape.layers), line.name,
                   line.unit, std::to_string(line.kernels), csv_number(line.predicted),
                   csv_number(line.measured), csv_number(line.error())});
  }
  if (counts) print_clocks(walls, env, *counts);
  print_steady(law, at_limit, machine);
  if (record) record->close(header_lines(env, watch.stop()));
  return 0;
}

}  // namespace kvroof::probe
