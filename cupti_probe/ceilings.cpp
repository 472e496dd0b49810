// kvroof-probe ceilings: what this GPU's units really deliver.
#include <fmt/core.h>

#include <fstream>
#include <iterator>
#include <memory>

#include "cupti_probe/ceiling_keys.hpp"
#include "cupti_probe/environment.hpp"
#include "cupti_probe/error.hpp"
#include "cupti_probe/measured_block.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/run_ceilings.hpp"
#include "cupti_probe/verbs.hpp"
#include "kernels/device.hpp"
#include "model/profile.hpp"
#include "model/replace_file.hpp"
#include "model/yaml.hpp"

namespace kvroof::probe {
namespace {

void print_rows(const CeilingRun& run) {
  const std::vector<kernels::Ceiling> sound = sound_rows(run);
  const auto is_best = [&](const kernels::Ceiling& c) {
    const kernels::Ceiling* b = best(c.name, sound);
    return b && b->variant == c.variant && b->value.median == c.value.median;
  };
  fmt::print("\n{:<22} {:<36} {:>15} {:>9} {:>7} {:>9}  {}\n", "ceiling", "variant", "median",
             "p5-p95", "bound", "SM MHz", "counters");
  for (const kernels::Ceiling& c : run.rows) {
    const std::string wrong = fault(c, run);
    const bool counted =
        std::any_of(run.confirmed.begin(), run.confirmed.end(),
                    [&](const Confirmation& f) { return f.entry == c.entry && f.args == c.args; });
    fmt::print("{}{:<21} {:<36} {:>15} {:>8.2f}% {:>7} {:>9}  {}\n", is_best(c) ? '*' : ' ', c.name,
               c.variant, with_prefix(c.value.median, c.unit), 100 * c.value.spread(),
               c.bound > 0 ? fmt::format("{:.1f}%", 100 * c.value.median / c.bound) : "–",
               c.sm_clock_hz > 0 ? fmt::format("{:.0f}", c.sm_clock_hz / 1e6) : "–",
               !wrong.empty() ? "OFF: " + wrong
               : counted      ? "confirmed"
                              : "");
  }
  fmt::print(
      "* the best sound one of its name; bound: share of the physical limit at that clock\n");
}

void print_confirmations(const CeilingRun& run) {
  if (run.confirmed.empty()) return;
  fmt::print("\n{:<14} {:<34} {:<14} {:>18} {:>18} {:>9}\n", "kernel", "shape", "counted",
             "intended", "measured", "ratio");
  for (const Confirmation& c : run.confirmed)
    for (const Check& check : c.checks) {
      const auto ratio = check.ratio();
      if (!ratio && check.verdict == Verdict::ok) continue;  // nothing intended, nothing seen
      fmt::print("{:<14} {:<34} {:<14} {:>18.0f} {:>18.0f} {:>9}{}\n", c.entry, text_of(c.args),
                 check.quantity, check.predicted.value_or(0), check.measured.value_or(0),
                 ratio ? fmt::format("{:.5f}", *ratio) : "–",
                 check.verdict == Verdict::off ? "  OFF" : "");
    }
}

void fill(Record& record, const CeilingRun& run) {
  for (const kernels::Ceiling& c : run.rows) {
    std::string quantity, counted;
    for (const Confirmation& f : run.confirmed)
      if (f.entry == c.entry && f.args == c.args)
        for (const Check& check : f.checks) {
          if (!check.ratio()) continue;
          if (!quantity.empty()) quantity += ';', counted += ';';
          quantity += check.quantity;
          counted += csv_number(check.measured);
        }
    const kernels::Stats& s = c.value;
    record.row({c.name, c.variant, c.unit, csv_number(s.median), csv_number(s.p5),
                csv_number(s.p95), csv_number(s.min), csv_number(s.max), std::to_string(s.repeats),
                c.bound > 0 ? csv_number(c.bound) : "", c.bound_rule,
                c.sm_clock_hz > 0 ? csv_number(c.sm_clock_hz) : "", c.entry, text_of(c.args),
                c.intended > 0 ? csv_number(c.intended) : "", quantity, counted, fault(c, run)});
  }
}

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw UserError(fmt::format("--write: {} cannot be read", path));
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The figures of the `measured` block: what was measured and found without fault.
std::vector<MeasuredLine> measured_lines(const CeilingRun& run, const Environment& env) {
  std::vector<MeasuredLine> lines;
  const std::vector<kernels::Ceiling> sound = sound_rows(run);
  for (const CeilingKey& key : ceiling_keys()) {
    const auto figure = figure_of(key, sound);
    if (!figure) continue;
    const kernels::Ceiling& c = *figure->from;
    std::string source = fmt::format("kvroof-probe ceilings, commit {}", env.commit);
    if (key.part == Part::sm_clock) {
      source += fmt::format("; SM clock during {}", c.name);
    } else {
      source += fmt::format("; {}", c.variant.empty() ? c.name : c.variant);
      if (c.value.repeats > 1)
        source += fmt::format("; median of {}, ci95 {:.2g} %", c.value.repeats,
                              100 * figure->ci95 / figure->value);
      if (c.sm_clock_hz > 0) source += fmt::format("; SM {:.0f} MHz", c.sm_clock_hz / 1e6);
    }
    lines.push_back({std::string(key.key), profile_text(key, figure->value), source});
  }
  return lines;
}

}  // namespace

int ceilings(const CeilingsOptions& options, const std::string& command) {
  const std::unique_ptr<Record> record =
      open_record(options.csv, {"ceiling", "variant", "unit", "median", "p5", "p95", "min", "max",
                                "repeats", "bound", "bound_rule", "sm_clock_hz", "entry", "args",
                                "intended", "counted_quantity", "counted", "fault"});
  const std::string profile = options.write.empty() ? "" : read_text(options.write);
  if (!options.write.empty()) {  // refused now, not after a minute of measuring
    load_profile(options.write);
    with_measured(profile, {}, options.write);
  }
  check_ceiling_groups(options.only);
  require_gpu();

  SensorWatch watch(0);
  const CeilingRun run = run_ceilings(options.only, options.counters, progress);
  const SensorRange sensors = watch.stop();
  const Environment env = environment(command, options.counters);

  fmt::print("{}\n", headline(env));
  for (const std::string& line : sensor_lines(env, sensors)) fmt::print("{}\n", line);
  print_rows(run);
  print_confirmations(run);
  for (const std::string& group : run.left_out) fmt::print("left out: {}\n", group);

  if (record) {
    fill(*record, run);
    record->close(header_lines(env, sensors));
  }
  if (!options.write.empty()) {
    const std::vector<MeasuredLine> figures = measured_lines(run, env);
    std::vector<MeasuredLine> lines{{"device", env.gpu, ""},
                                    {"driver", env.driver, ""},
                                    {"cuda", env.cuda, ""},
                                    {"date", env.date.substr(0, 10), ""}};
    lines.insert(lines.end(), figures.begin(), figures.end());
    const std::string written = with_measured(profile, lines, options.write);
    profile_from_node(parse_yaml(written, options.write));  // never leave a file we cannot read
    replace_file(options.write, written);
    fmt::print("\n{}: measured block written, {} figures\n", options.write, figures.size());
  }
  const std::vector<std::string> unsound = unsound_names(run);
  for (const std::string& name : unsound) fmt::print("{}: no variant is without fault\n", name);
  return unsound.empty() ? 0 : 1;
}

}  // namespace kvroof::probe
