#include <fmt/core.h>

#include <memory>
#include <optional>

#include "cupti_probe/count.hpp"
#include "cupti_probe/environment.hpp"
#include "cupti_probe/error.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/verbs.hpp"

namespace kvroof::probe {
namespace {

std::string shown(const std::optional<double>& value, const std::string& unit) {
  return value ? with_prefix(*value, unit) : "–";
}

void print_counts(const Counts& counts) {
  fmt::print("\n{:<16} {:>16} {:>16} {:>16}\n", counts.group.name, "median", "min", "max");
  for (std::size_t f = 0; f < counts.figures.size(); ++f) {
    const FigureDef& figure = counts.group.figures[f];
    const FigureStats& s = counts.figures[f];
    fmt::print("{:<16} {:>16} {:>16} {:>16}{}\n", figure.name, shown(s.median, figure.unit),
               shown(s.min, figure.unit), shown(s.max, figure.unit),
               s.median ? "" : "   not known for a whole range");
  }
  if (counts.written_back)
    fmt::print("{:<16} {:>16}   HBM bytes until a flush behind the kernel has drained L2\n",
               "written_back", shown(counts.written_back, "byte"));
  if (counts.kernels.size() > 1) {
    fmt::print("\nkernel by kernel, last launch:\n");
    for (std::size_t f = 0; f < counts.figures.size(); ++f) {
      fmt::print("{:<16}", counts.group.figures[f].name);
      for (const auto& kernel : counts.kernels)
        fmt::print(" {:>16}", shown(kernel[f], counts.group.figures[f].unit));
      fmt::print("\n");
    }
  }
}

}  // namespace

int profile_kernel(const ProfileKernelOptions& options, const std::string& command) {
  const kernels::Entry& entry = entry_named(options.kernel);
  const kernels::Args args = args_with(entry, options.set);
  const Group group = load_group(options.group);
  const std::unique_ptr<Record> record =
      open_record(options.csv, {"kernel", "args", "l2", "scope", "group", "figure", "unit",
                                "median", "min", "max", "launches", "passes"});
  require_gpu();
  const Environment env = environment(command, options.counters);
  const kernels::Case c = case_of(entry, args);
  const bool cold = options.l2 == kernels::L2::cold;
  const char* state = cold ? "cold" : "warm";
  fmt::print("{}\n{} · L2 {} · {} launches\n", headline(env), c.name, state, options.launches);

  SensorWatch watch(0);
  const auto add = [&](std::string_view from, std::string_view figure, std::string_view unit,
                       const FigureStats& s, std::size_t passes) {
    if (!record) return;
    record->row({entry.name, text_of(args), state, options.whole ? "whole" : "each_kernel",
                 std::string(from), std::string(figure), std::string(unit), csv_number(s.median),
                 csv_number(s.min), csv_number(s.max), std::to_string(options.launches),
                 std::to_string(passes)});
  };
  if (options.counters) {
    const Counts counts = count(c, group,
                                {.l2 = options.l2,
                                 .launches = options.launches,
                                 .scope = options.whole ? Scope::whole : Scope::each_kernel,
                                 .write_back = true});
    print_counts(counts);
    for (std::size_t f = 0; f < counts.figures.size(); ++f)
      add(group.name, counts.group.figures[f].name, counts.group.figures[f].unit, counts.figures[f],
          counts.passes);
    if (counts.written_back)
      add(group.name, "written_back", "byte", {counts.written_back, {}, {}}, counts.passes);
  } else {
    const kernels::Stats s = kernels::time_case(c, {.repeats = options.launches, .l2 = options.l2});
    fmt::print("\n{:<16} {:>16}   p5 {}, p95 {}\n", "time", with_prefix(s.median, "s"),
               with_prefix(s.p5, "s"), with_prefix(s.p95, "s"));
    add("events", "time", "s", {s.median, s.min, s.max}, 0);
  }
  const SensorRange sensors = watch.stop();
  if (record) record->close(header_lines(env, sensors));
  return 0;
}

}  // namespace kvroof::probe
