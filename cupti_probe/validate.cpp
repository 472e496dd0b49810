// kvroof-probe validate: a hardware profile against this GPU,
// and every kernel's cost against its counters.
#include <fmt/core.h>

#include <memory>

#include "cupti_probe/environment.hpp"
#include "cupti_probe/validate_parts.hpp"
#include "kernels/device.hpp"
#include "model/search_path.hpp"
#include "scenarios/cli/records.hpp"
#include "scenarios/cli/stack.hpp"

namespace kvroof::probe {
namespace {

std::vector<std::string> unfinished(const Environment& env) {
  std::vector<std::string> head = header_lines(env, {});
  head.push_back("# unfinished: stopped before its end");
  return head;
}

}  // namespace

int validate(const ValidateOptions& options, const std::string& command) {
  const std::string file = profile_file(options.profile);
  const HardwareProfile profile = load_profile(file);
  const Machine machine = to_machine(profile);
  std::vector<const kernels::Entry*> entries;
  for (const std::string& name : options.kernels) entries.push_back(&entry_named(name));
  if (entries.empty() && options.part != "ceilings")
    for (const kernels::Entry& entry : kernels::catalogue())
      if (!is_load(entry.name)) entries.push_back(&entry);
  check_record_path(options.csv);
  check_report(options.report);
  require_gpu();
  const Environment env = environment(command, options.counters);
  const std::unique_ptr<Record> record =
      open_record(options.csv,
                  {"part", "name", "args", "quantity", "unit", "predicted", "measured", "ratio",
                   "tolerance", "verdict", "sm_clock_hz", "dram_clock_hz", "note"},
                  unfinished(env));

  Tally tally;
  SensorWatch watch(0);
  fmt::print("{}: {} on {}\n", file, profile.name, kernels::gpu().name);
  if (options.part != "kernels") validate_profile(profile, options, tally, record.get());
  if (options.part != "ceilings") validate_kernels(entries, machine, options, tally, record.get());
  const SensorRange sensors = watch.stop();
  fmt::print("\n{}\n{} of {} outside tolerance, {} more explained by a known exception\n",
             headline(env), tally.off, tally.judged, tally.known);
  if (record) record->close(header_lines(env, sensors));
  if (!options.report.empty()) {
    cli::Inputs inputs;
    inputs.flags["hardware"] = file;
    if (const int failed =
            cli::write_figures(cli::record_figures({options.csv}, inputs), options.report))
      return failed;
  }
  if (tally.off > 0 && options.part != "kernels")
    fmt::print("Write what was measured: kvroof-probe ceilings --write {}\n", file);
  return tally.off > 0 ? 1 : 0;
}

}  // namespace kvroof::probe
