// kvroof-probe validate, part A: a hardware profile against this GPU.
#include <fmt/core.h>

#include "cupti_probe/compare.hpp"
#include "cupti_probe/op_record.hpp"
#include "cupti_probe/run_ceilings.hpp"
#include "cupti_probe/validate_parts.hpp"

namespace kvroof::probe {

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

}  // namespace kvroof::probe
