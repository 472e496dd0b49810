// kvroof-probe validate: a hardware profile against this GPU, and every kernel's cost against its
// counters.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include "cupti_probe/compare.hpp"
#include "cupti_probe/environment.hpp"
#include "cupti_probe/error.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/run_ceilings.hpp"
#include "cupti_probe/verbs.hpp"
#include "kernels/ceilings/entries.hpp"
#include "kernels/device.hpp"
#include "model/search_path.hpp"
#include "model/time.hpp"
#include "scenarios/cli/records.hpp"
#include "scenarios/cli/stack.hpp"

namespace kvroof::probe {
namespace {

/// How many lines were judged and how many of them were off.
struct Tally {
  int judged = 0, off = 0;
  void add(Verdict v) {
    judged += v != Verdict::open;
    off += v == Verdict::off;
  }
};

const char* word(Verdict v) { return v == Verdict::ok ? "ok" : v == Verdict::off ? "OFF" : "–"; }

void progress(const std::string& what) {
  std::fprintf(stderr, "kvroof-probe: %s …\n", what.c_str());
}

std::unique_ptr<Record> open_record(const std::string& path) {
  if (path.empty()) return nullptr;
  return std::make_unique<Record>(
      path, std::vector<std::string>{"part", "name", "args", "quantity", "unit", "predicted",
                                     "measured", "ratio", "tolerance", "verdict", "sm_clock_hz",
                                     "dram_clock_hz", "note"});
}

/// Part A. The figure's unit is that of the profile's base unit.
void validate_profile(const HardwareProfile& profile, const ValidateOptions& options, Tally& tally,
                      Record* record) {
  const CeilingRun run = run_ceilings({}, options.counters, progress);
  const auto unit = [](const CeilingKey& key) -> std::string {
    if (!key.measure) return "op/s";
    switch (*key.measure) {
      case Measure::bytes:
        return "byte";
      case Measure::bandwidth:
        return "byte/s";
      case Measure::throughput:
        return "flop/s";
      case Measure::clock:
        return "Hz";
      default:
        return "s";
    }
  };
  fmt::print("\n{:<18} {:>15} {:<9} {:>15} {:>12} {:>8} {:>6}  {}\n", "ceiling", "profile", "",
             "measured", "95 % CI", "diff", "tol", "");
  std::vector<std::string> consequences;
  const std::vector<kernels::Ceiling> sound = sound_rows(run);
  for (const ProfileCheck& check : compare_profile(profile, sound)) {
    const CeilingKey& key = *check.key;
    tally.add(check.verdict);
    const bool peak = check.source == Source::datasheet;
    fmt::print(
        "{:<18} {:>15} {:<9} {:>15} {:>12} {:>8} {:>6}  {}\n", key.key,
        check.profile ? with_prefix(*check.profile, unit(key)) : "unknown",
        check.profile && peak ? "datasheet" : "", with_prefix(check.now.value, unit(key)),
        check.now.ci95 > 0 ? fmt::format("±{:.2g} %", 100 * check.now.ci95 / check.now.value) : "–",
        check.profile ? fmt::format("{:+.1f} %", 100 * check.deviation()) : "–",
        !check.profile ? ""
        : peak         ? "peak"
                       : fmt::format("{:.0f} %", 100 * key.tolerance),
        word(check.verdict));
    if (!check.consequence.empty() && !peak)
      consequences.push_back(fmt::format("{}: {}", key.key, check.consequence));
    if (record)
      record->row({"profile", std::string(key.key), text_of(check.now.from->args),
                   check.now.from->name, unit(key), csv_number(check.profile),
                   csv_number(check.now.value),
                   check.profile ? csv_number(check.now.value / *check.profile) : "",
                   peak ? "peak" : csv_number(key.tolerance), word(check.verdict),
                   check.now.from->sm_clock_hz > 0 ? csv_number(check.now.from->sm_clock_hz) : "",
                   "", check.consequence});
  }
  for (const std::string& name : unsound_names(run)) {
    tally.add(Verdict::off);
    fmt::print("{:<18} no variant is without fault: see kvroof-probe ceilings\n", name);
  }
  for (const std::string& line : consequences) fmt::print("  {}\n", line);
  for (const std::string& group : run.left_out) fmt::print("left out: {}\n", group);
}

/// Kernels whose time is a ceiling itself have no predicted time.
bool is_load(const std::string& name) {
  const auto loads = kernels::ceiling_entries();
  return std::any_of(loads.begin(), loads.end(),
                     [&](const kernels::Entry& e) { return e.name == name; });
}

/// Expected time of the kernels alone: counters see no gaps between launches.
std::optional<Seconds> kernel_time(const Op& op, const Machine& machine) {
  try {
    const OpTime t = time(op, machine, Launch::graph);
    return t.expected - t.gap.launch;
  } catch (const std::domain_error&) {  // the profile lacks the unit
    return std::nullopt;
  }
}

struct Counted {
  std::vector<Check> checks;
  std::optional<double> sm_clock, dram_clock;
};

Counted measure(const kernels::Case& c, bool counters, std::optional<Seconds> predicted) {
  if (!counters) {
    const kernels::Stats s = kernels::time_case(c, {.l2 = kernels::L2::cold});
    Check check{.quantity = "time", .unit = "s", .measured = s.median, .tolerance = 0.15};
    if (predicted) check.predicted = predicted->value;
    return {{judged(std::move(check))}, {}, {}};
  }
  const Counts roofline = count(c, load_group("roofline"), {.write_back = true});
  std::optional<Counts> tensor;
  if (needs_tensor_group(c.op, roofline.group.chip))
    tensor = count(c, load_group("tensor"), {.launches = 1});
  return {check_kernel(c.op, roofline, tensor ? &*tensor : nullptr, predicted),
          roofline["sm_clock"], roofline["dram_clock"]};
}

/// Part B, one kernel at one shape.
void validate_kernel(const kernels::Entry& entry, const kernels::Args& args, const Machine& machine,
                     const ValidateOptions& options, Tally& tally, Record* record) {
  const kernels::Case c = entry.make(args);
  if (options.verify && c.verify) {
    const kernels::Verdict v = c.verify();
    fmt::print("\n{}: error {:.2e} of {:.0e} allowed, {}\n", c.name, v.relative_error, v.tolerance,
               v.ok ? "ok" : "WRONG " + v.detail);
    tally.add(v.ok ? Verdict::ok : Verdict::off);
    if (!v.ok) return;  // a wrong kernel's counts mean nothing
  }
  const auto predicted = is_load(entry.name) ? std::nullopt : kernel_time(c.op, machine);
  const Counted counted = measure(c, options.counters, predicted);
  fmt::print("\n{} {}{}\n", entry.name, c.name,
             counted.sm_clock ? fmt::format("   SM {:.0f} MHz", *counted.sm_clock / 1e6) : "");
  for (const Check& check : counted.checks) {
    tally.add(check.verdict);
    const auto ratio = check.ratio();
    fmt::print("  {:<14} {:>15} {:>15} {:>9} {:>7}  {:<3} {}\n", check.quantity,
               check.predicted ? with_prefix(*check.predicted, check.unit) : "–",
               check.measured ? with_prefix(*check.measured, check.unit) : "–",
               ratio ? fmt::format("{:.4f}", *ratio) : "–",
               check.tolerance > 0 ? fmt::format("{:.0f} %", 100 * check.tolerance) : "exact",
               word(check.verdict), check.note);
    if (record)
      record->row({"kernel", entry.name, text_of(args), check.quantity, check.unit,
                   csv_number(check.predicted), csv_number(check.measured), csv_number(ratio),
                   csv_number(check.tolerance), word(check.verdict), csv_number(counted.sm_clock),
                   csv_number(counted.dram_clock), check.note});
  }
}

}  // namespace

int validate(const ValidateOptions& options, const std::string& command) {
  const std::string file =
      options.profile.empty() ? find_profile(options.hardware, search_roots()) : options.profile;
  const HardwareProfile profile = load_profile(file);
  const Machine machine = to_machine(profile);
  std::vector<const kernels::Entry*> entries;
  for (const std::string& name : options.kernels) entries.push_back(&entry_named(name));
  if (entries.empty() && options.part != "ceilings")
    for (const kernels::Entry& entry : kernels::catalogue())
      if (!is_load(entry.name)) entries.push_back(&entry);
  const std::unique_ptr<Record> record = open_record(options.csv);
  require_gpu();

  Tally tally;
  SensorWatch watch(0);
  fmt::print("{}: {} on {}\n", file, profile.name, kernels::gpu().name);
  if (options.part != "kernels") validate_profile(profile, options, tally, record.get());
  if (options.part != "ceilings") {
    fmt::print("\nkernels, one cold launch    predicted        measured     ratio     tol\n");
    for (const kernels::Entry* entry : entries)
      for (const kernels::Args& args : entry->shapes) try {
          validate_kernel(*entry, args, machine, options, tally, record.get());
        } catch (const kernels::NotOnThisGpu& e) {
          fmt::print("\n{} left out: {}\n", entry->name, e.what());
        } catch (const Broken& e) {
          fmt::print("\n{} {}: OFF, {}\n", entry->name, text_of(args), e.what());
          tally.add(Verdict::off);
        }
  }
  const SensorRange sensors = watch.stop();
  const Environment env = environment(command, options.counters);
  fmt::print("\n{}\n{} of {} outside tolerance\n", headline(env), tally.off, tally.judged);
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
