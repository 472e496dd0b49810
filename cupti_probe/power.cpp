// kvroof-probe power: what this GPU draws under loads of known activity, and the clock it then
// keeps.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "cupti_probe/environment.hpp"
#include "cupti_probe/count.hpp"
#include "cupti_probe/error.hpp"
#include "cupti_probe/op_record.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/verbs.hpp"
#include "kernels/ceilings/steady.hpp"
#include "kernels/check.hpp"
#include "kernels/device.hpp"

namespace kvroof::probe {
namespace {

/// One steady run: what it drew, and the work of a second.
struct Row {
  std::string part, name, args;
  MeanDraw draw;
  double rested_clock = 0, clock = 0;  // as a kernel read them itself
  kernels::SteadyRun run;
  std::vector<Op> ops;  // a launch of each case
};

Row measure(const std::string& part, const std::string& name, std::span<const kernels::Load> loads,
            double window) {
  Row row{.part = part, .name = name};
  std::vector<kernels::Case> cases;
  for (const kernels::Load& load : loads)
    cases.push_back(load.kernel), row.ops.push_back(load.kernel.op);
  std::unique_ptr<EnergyMeter> meter;
  kernels::SteadyTiming timing{.window = window};
  timing.begin = [&] {
    if (!loads.empty() && loads[0].clock.bytes() > 0) {
      row.rested_clock = 0;
      loads[0].reset_clock();
    }
    meter = std::make_unique<EnergyMeter>(0);
  };
  timing.end = [&] {
    row.draw = meter->stop();
    if (!loads.empty() && loads[0].clock.bytes() > 0) row.clock = loads[0].sm_clock_hz();
  };
  row.run = kernels::run_steady(cases, timing);
  if (!loads.empty() && loads[0].clock.bytes() > 0) {
    std::vector<double> clocks;
    for (int i = 0; i < 3; ++i) {
      kernels::run_steady({}, {.rest = 0, .lead = 0.08, .window = 0});
      loads[0].reset_clock();
      CUDA_CHECK(cudaDeviceSynchronize());
      for (const kernels::Case& c : cases) {
        static std::vector<kernels::Stream> streams(4);
        c.launch(streams[static_cast<std::size_t>(&c - cases.data())]);
      }
      CUDA_CHECK(cudaDeviceSynchronize());
      clocks.push_back(loads[0].sm_clock_hz());
    }
    std::sort(clocks.begin(), clocks.end());
    row.rested_clock = clocks[1];
  }
  return row;
}

std::string number(std::optional<double> v, double unit) {
  return v && *v > 0 ? fmt::format("{:.4g}", *v / unit) : "–";
}

}  // namespace

int power(const PowerOptions& options, const std::string& command) {
  const std::unique_ptr<Record> record =
      open_record(options.csv, {"part", "name", "args", "watts", "sm_clock_hz", "nvml_clock_hz",
                                "rested_clock_hz", "rested_s", "steady_s", "settled_s", "work"});
  require_gpu();
  SensorWatch watch(0);
  const Environment env = environment(command, false);
  fmt::print("{}\n\n{:<14} {:<50} {:>7} {:>7} {:>7} {:>7} {:>9} {:>9} {:>8}\n", headline(env), "",
             "", "W", "MHz", "NVML", "rested", "rested", "steady", "settled");
  const auto show = [&](const Row& row) {
    for (std::size_t i = 0; i < std::max<std::size_t>(1, row.ops.size()); ++i) {
      const double rested = row.ops.empty() ? 0 : row.run.rested[i],
                   steady = row.ops.empty() ? 0 : row.run.steady[i];
      fmt::print("{:<14} {:<50} {:>7} {:>7} {:>7} {:>7} {:>9.1f} {:>9.1f} {:>8.3f}\n", row.name,
                 row.args, number(row.draw.watts, 1), number(row.clock, 1e6),
                 number(row.draw.sm_clock_hz, 1e6), number(row.rested_clock, 1e6), rested * 1e6,
                 steady * 1e6, row.run.settled);
      std::fflush(stdout);
      if (record)
        record->row({row.part, row.name, row.args, csv_number(row.draw.watts),
                     csv_number(row.clock), csv_number(row.draw.sm_clock_hz),
                     csv_number(row.rested_clock), csv_number(rested), csv_number(steady),
                     csv_number(row.run.settled), row.ops.empty() ? "" : op_text(row.ops[i])});
    }
  };
  for (const kernels::PowerLoad& load : kernels::power_loads())
    show(measure("load", load.name, load.idle() ? std::vector<kernels::Load>{} : load.make(),
                 options.window));
  for (const std::string& text : options.kernels) {
    // name:key=value:key=value
    std::vector<std::string> words;
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t end = std::min(text.find(':', at), text.size());
      words.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    const kernels::Entry& entry = entry_named(words[0]);
    const kernels::Args args = args_with(entry, {words.begin() + 1, words.end()});
    const kernels::Case c = entry.make(args);
    Row row = measure("kernel", words[0], std::vector<kernels::Load>{{c, {}}}, options.window);
    row.args = text_of(args);
    show(row);
  }
  if (record) record->close(header_lines(env, watch.stop()));
  return 0;
}

}  // namespace kvroof::probe
