#include <fmt/core.h>

#include "cupti_probe/error.hpp"
#include "cupti_probe/plan.hpp"
#include "cupti_probe/verbs.hpp"

namespace kvroof::probe {
namespace {

/// One group in full: prose, figures, metrics. Passes are counted by CUPTI where it is installed.
void show(const Group& group, const std::string& chip) {
  const ChipGroup here = on_chip(group, chip);
  std::string passes = fmt::format("{} stated", here.stated_passes);
  try {
    passes = std::to_string(Plan::make(here).passes());
  } catch (const Unavailable&) {  // names and passes stay unchecked without CUPTI
  }
  fmt::print("{}: {}\n{}\n", group.name, group.title, group.prose);
  for (const FigureDef& figure : here.figures)
    fmt::print("  {:<16} [{}]{}\n", figure.name, figure.unit,
               figure.needs_time ? "   needs elapsed time" : "");
  fmt::print("\n{} metrics on {}, passes: {}\n", here.metrics.size(), chip, passes);
  for (const std::string& metric : here.metrics) fmt::print("  {}\n", metric);
}

}  // namespace

int show_groups(const ShowGroupsOptions& options) {
  if (!options.group.empty()) {
    show(load_group(options.group), options.chip.empty() ? "GH100" : options.chip);
    return 0;
  }
  for (const std::string& name : group_names()) {
    const Group group = load_group(name);
    std::string passes;
    for (const auto& [chip, count] : group.passes)
      passes += fmt::format("{}{} {}", passes.empty() ? "" : ", ", chip, count);
    fmt::print("{:<9} {}\n          passes: {}\n", name, group.title, passes);
  }
  return 0;
}

}  // namespace kvroof::probe
