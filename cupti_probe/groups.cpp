#include "cupti_probe/groups.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

#include "cupti_probe/embedded_groups.hpp"
#include "cupti_probe/error.hpp"
#include "cupti_probe/formula.hpp"

namespace kvroof::probe {
namespace {

constexpr std::string_view kSpace = " \t\r";

/// Reads one line word by word and knows its column.
struct Cursor {
  std::string_view line, file;
  int number;
  std::size_t pos = 0;

  void skip() { pos = std::min(line.find_first_not_of(kSpace, pos), line.size()); }
  bool done() { return skip(), pos == line.size(); }
  int column() const { return static_cast<int>(pos) + 1; }
  std::string_view word() {
    skip();
    const std::size_t end = std::min(line.find_first_of(kSpace, pos), line.size());
    const std::string_view w = line.substr(pos, end - pos);
    pos = end;
    return w;
  }
  [[noreturn]] void fail(int at, std::string_view expected, std::string_view got) const {
    throw UserError(fmt::format("{}:{}:{}: expected {}, got {}", file, number, at, expected,
                                got.empty() ? "the end of the line" : fmt::format("'{}'", got)));
  }
};

void parse_passes(Cursor& c, Group& group) {
  c.skip();
  const int at = c.column();
  const std::string chip(c.word());
  if (chip.empty()) c.fail(at, "a chip name such as GH100", chip);
  c.skip();
  const int at_count = c.column();
  const std::string_view text = c.word();
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || end != text.data() + text.size() || count < 1)
    c.fail(at_count, "a number of passes of at least 1", text);
  if (!group.passes.emplace(chip, count).second) c.fail(at, "each chip once", chip);
  if (!c.done()) c.fail(c.column(), "the end of the line", c.line.substr(c.pos));
}

Group::Line parse_line(Cursor& c) {
  Group::Line out;
  c.skip();
  if (c.line[c.pos] == '@') {
    const int at = c.column();
    std::string_view chips = c.word().substr(1);
    while (!chips.empty()) {
      const std::size_t comma = std::min(chips.find(','), chips.size());
      out.chips.emplace_back(chips.substr(0, comma));
      chips.remove_prefix(std::min(comma + 1, chips.size()));
    }
    if (out.chips.empty()) c.fail(at, "chip names after '@', such as @GH100,GA100", "@");
    c.skip();
  }
  const int at_name = c.column();
  out.name = c.word();
  if (out.name.empty() || out.name.front() == '[') c.fail(at_name, "name [unit] formula", out.name);
  c.skip();
  const std::size_t close = c.line.find(']', c.pos);
  if (c.pos == c.line.size() || c.line[c.pos] != '[' || close == std::string_view::npos)
    c.fail(c.column(), "[unit] after the name", c.line.substr(c.pos));
  out.unit = c.line.substr(c.pos + 1, close - c.pos - 1);
  c.pos = close + 1;
  if (c.done()) c.fail(c.column(), "a formula", "");
  out.line = c.number;
  out.column = c.column();
  out.formula = c.line.substr(c.pos);
  return out;
}

/// Elapsed time of a whole range holds the host's submission of the work; clocks read as
/// cycles_elapsed.avg.per_second are ratios and stay right.
bool is_elapsed(std::string_view metric) {
  if (metric.starts_with("gpu__time_duration")) return true;
  if (metric.ends_with("cycles_elapsed.avg.per_second")) return false;
  return metric.find("cycles_elapsed") != std::string_view::npos ||
         metric.find("_elapsed") != std::string_view::npos || metric.ends_with(".per_second");
}

std::string stem(std::string_view path) {
  path.remove_prefix(path.find_last_of('/') + 1);  // npos + 1 == 0
  return std::string(path.substr(0, path.find_last_of('.')));
}

}  // namespace

Group parse_group(std::string_view text, std::string_view file) {
  Group group{.name = stem(file), .file = std::string(file)};
  int number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    Cursor c{.line = text.substr(0, end), .file = file, .number = ++number};
    text.remove_prefix(std::min(end + 1, text.size()));
    if (c.done()) continue;
    if (c.line[c.pos] == '#') {
      std::string_view prose = c.line.substr(c.pos + 1);
      if (prose.starts_with(' ')) prose.remove_prefix(1);
      if (group.title.empty()) group.title = prose;
      else group.prose.append(prose).append("\n");
      continue;
    }
    Cursor first = c;
    if (first.word() == "passes") {
      parse_passes(first, group);
      continue;
    }
    group.lines.push_back(parse_line(c));
    // A formula is checked when it is read, whichever chip it is for.
    std::vector<std::string> metrics;
    std::vector<Place> places;
    const Group::Line& line = group.lines.back();
    parse_formula(line.formula, file, {line.line, line.column}, metrics, places);
  }
  if (group.passes.empty())
    throw UserError(
        fmt::format("{}:{}:1: expected a line 'passes CHIP N', got none", file, number));
  for (const Group::Line& line : group.lines)
    for (const std::string& chip : line.chips)
      if (!group.passes.contains(chip))
        throw UserError(fmt::format("{}:{}:1: expected a chip with a 'passes' line, got '{}'", file,
                                    line.line, chip));
  return group;
}

ChipGroup on_chip(const Group& group, std::string_view chip) {
  const auto stated = group.passes.find(chip);
  if (stated == group.passes.end()) {
    std::vector<std::string_view> known;
    for (const auto& [name, passes] : group.passes) known.push_back(name);
    throw UserError(
        fmt::format("{}: group '{}' does not know chip {} (it knows {}): add a line "
                    "'passes {} N' and check its metric names",
                    group.file, group.name, chip, fmt::join(known, ", "), chip));
  }
  ChipGroup out{.name = group.name,
                .file = group.file,
                .chip = std::string(chip),
                .stated_passes = stated->second};
  for (const Group::Line& line : group.lines) {
    if (!line.chips.empty() &&
        std::find(line.chips.begin(), line.chips.end(), chip) == line.chips.end())
      continue;
    if (figure_index(out, line.name))
      throw UserError(fmt::format("{}:{}:1: expected each name once for {}, got '{}' again",
                                  group.file, line.line, chip, line.name));
    FigureDef figure{.name = line.name, .unit = line.unit};
    figure.steps =
        parse_formula(line.formula, group.file, {line.line, line.column}, out.metrics, out.places);
    figure.needs_time = std::any_of(
        figure.steps.begin(), figure.steps.end(),
        [&](const Step& step) { return step.op == 'm' && is_elapsed(out.metrics[step.metric]); });
    out.figures.push_back(std::move(figure));
  }
  return out;
}

std::vector<std::string> group_names() {
  std::vector<std::string> names;
  for (const EmbeddedGroup& group : kEmbeddedGroups) names.emplace_back(group.name);
  return names;
}

Group load_group(std::string_view name_or_path) {
  for (const EmbeddedGroup& group : kEmbeddedGroups)
    if (group.name == name_or_path)
      return parse_group(group.text, fmt::format("groups/{}.txt", group.name));
  if (name_or_path.find('/') == std::string_view::npos && !name_or_path.ends_with(".txt"))
    throw UserError(fmt::format("--group: expected one of {} or a path to a .txt file, got '{}'",
                                fmt::join(group_names(), ", "), name_or_path));
  std::ifstream in{std::string(name_or_path), std::ios::binary};
  if (!in) throw UserError(fmt::format("{}: cannot be read", name_or_path));
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse_group(text, name_or_path);
}

std::optional<std::size_t> figure_index(const ChipGroup& group, std::string_view name) {
  for (std::size_t i = 0; i < group.figures.size(); ++i)
    if (group.figures[i].name == name) return i;
  return std::nullopt;
}

}  // namespace kvroof::probe
