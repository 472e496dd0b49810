// Metric groups: text files that say what is counted and how counters become figures. A line is
//     name [unit] formula            on every chip the group knows, or
//     @GH100,GA100 name [unit] formula    on these chips only
// where a formula is + - * / ( ) over numbers and full CUPTI metric names. `passes CHIP N` states
// how many passes the group needs on a chip; a chip without such a line is refused, never guessed.
// Lines that start with # are prose; the first one is the title.
#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvroof::probe {

/// A formula in postfix order: 'n' a number, 'm' the metric at `metric`, else + - * / or '~'
/// (negate).
struct Step {
  char op;
  double number = 0;
  std::size_t metric = 0;
  bool operator==(const Step&) const = default;
};

/// One figure: name, unit, and how it follows from the metrics of its group.
///   needs_time   divides by or is elapsed time, which a whole-range collection inflates by
///                50-70 us
struct FigureDef {
  std::string name, unit;
  std::vector<Step> steps;
  bool needs_time = false;
};

/// Where a metric first stands in the file, for messages.
struct Place {
  int line = 0, column = 0;
};

/// A group on one chip: what CUPTI is asked for, and the figures made from it.
struct ChipGroup {
  std::string name, file, chip;
  int stated_passes = 0;
  std::vector<std::string> metrics;
  std::vector<Place> places;  // of metrics
  std::vector<FigureDef> figures;
};

/// A parsed group file. Formulas stay text until a chip is chosen.
struct Group {
  struct Line {
    std::vector<std::string> chips;  // empty: all
    std::string name, unit, formula;
    int line = 0, column = 0;  // of the formula
  };
  std::string name, file, title, prose;
  std::map<std::string, int, std::less<>> passes;
  std::vector<Line> lines;
};

/// Throws UserError "file:line:col: expected …, got …".
Group parse_group(std::string_view text, std::string_view file);

/// The group as this chip sees it. Throws UserError where the group does not know the chip.
ChipGroup on_chip(const Group& group, std::string_view chip);

/// Names of the groups built into the program (cupti_probe/groups/*.txt), in alphabetical order.
std::vector<std::string> group_names();

/// A built-in group by name, or a file by path (anything with a '/' or ending in .txt).
Group load_group(std::string_view name_or_path);

/// The figure's value; nullopt where it divides by zero or a metric is missing (NaN).
///   metrics [group.metrics.size()]   values in the order of group.metrics
std::optional<double> evaluate(const FigureDef& figure, std::span<const double> metrics);

/// Position of a figure; nullopt if the group has none of that name on this chip.
std::optional<std::size_t> figure_index(const ChipGroup& group, std::string_view name);

}  // namespace kvroof::probe
