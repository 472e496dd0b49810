#include "reports/figures/op_times.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "reports/figures/bars.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

struct Unit {
  double scale;
  const char* name;
};
/// One unit for the whole figure, by its largest time.
Unit unit_of(Seconds largest) {
  if (largest.value >= 1) return {1, "s"};
  return largest.value >= milli ? Unit{milli, "ms"} : Unit{micro, "µs"};
}
/// The same decimals in every row, three digits of the largest time and one more.
std::string known(Seconds t, Unit u, Seconds largest) {
  const double top = largest.value / u.scale;
  return t > Seconds{} ? fmt::format("{:.{}f}", t.value / u.scale,
                                     top < 10    ? 3
                                     : top < 100 ? 2
                                                 : 1)
                       : "–";
}

}  // namespace

Scene scene(const OpTimes& f, Canvas canvas) {
  Scene s = begin(f.caption, canvas);
  Seconds largest;
  bool any_measured = false;
  for (const auto& r : f.rows) {
    largest = max(largest, max(r.floor, max(r.expected, r.measured)));
    any_measured |= r.measured > Seconds{};
  }
  const Unit u = unit_of(largest);
  const std::string unit = u.name;
  Bars b{.rows = {},
         .heads = {"floor, " + unit, "expected"},
         .axis_title = "time in the step  [" + unit + "]",
         .max = largest.value / u.scale};
  if (any_measured) b.heads.push_back("measured");
  for (const auto& r : f.rows) {
    std::vector<std::pair<std::string, std::string>> lines{{"floor", text(r.floor)},
                                                           {"expected", text(r.expected)}};
    if (r.measured > Seconds{}) lines.push_back({"measured", text(r.measured)});
    if (!r.bound.empty()) lines.push_back({"limited by", r.bound});
    BarRow row{.name = r.name, .tip = add_tip(s, tip(r.name, std::move(lines), r.details))};
    row.segments = {{0, r.expected.value / u.scale, {.fill = Ink::sky, .opacity = 0.55}, "", -1, 0},
                    {0, r.floor.value / u.scale, {.fill = Ink::blue}, "", -1, 3}};
    if (r.measured > Seconds{}) row.marks = {{r.measured.value / u.scale, Ink::vermillion}};
    row.values = {known(r.floor, u, largest), known(r.expected, u, largest)};
    if (any_measured) row.values.push_back(known(r.measured, u, largest));
    b.rows.push_back(std::move(row));
  }
  std::vector<SeriesName> names{{"floor: speed of light", Ink::blue, Shape::square},
                                {"expected", Ink::sky, Shape::square}};
  if (any_measured) names.push_back({"measured", Ink::vermillion, Shape::diamond});
  const double y = add_series_key(add_canvas(s), names, 12, s.height + 12, s.width - 24);
  finish(s, add_bars(s, {12, y + 8, s.width - 24, 0}, b));
  return s;
}

DataTable data_table(const OpTimes& f) {
  DataTable t{f.caption.title,
              {{"op", false}, {"floor"}, {"expected"}, {"measured"}, {"limited by", false}},
              {}};
  for (const auto& r : f.rows)
    t.rows.push_back({r.name, text(r.floor), text(r.expected),
                      r.measured > Seconds{} ? text(r.measured) : "–", r.bound});
  return t;
}

Scene scene(const Waterfall& f, Canvas canvas) {
  Scene s = begin(f.caption, canvas);
  Seconds at = f.floor, largest = max(f.floor, max(f.expected, f.measured));
  const Unit u = unit_of(f.expected);
  Bars b{.rows = {},
         .heads = {"", "of expected"},
         .axis_title = std::string("time  [") + u.name + "]"};
  const auto row = [&](std::string name, Seconds from, Seconds to, Ink ink, bool bold,
                       const Details& d) {
    const Seconds size = to - from;
    BarRow r{.name = name, .bold = bold};
    r.tip = add_tip(s, tip(std::move(name),
                           {{"time", text(size)}, {"of expected", percent(size / f.expected)}}, d));
    r.segments = {{std::min(from, to).value / u.scale,
                   max(from, to).value / u.scale,
                   {.fill = ink, .opacity = 0.9},
                   "",
                   -1,
                   0}};
    r.values = {(bold               ? ""
                 : size < Seconds{} ? "– "
                                    : "+ ") +
                    text(max(size, -1.0 * size)),
                percent(size / f.expected)};
    b.rows.push_back(std::move(r));
  };
  row("floor: speed of light", {}, f.floor, Ink::blue, true, {});
  for (const auto& step : f.steps) {
    row(step.name, at, at + step.delta, step.delta < Seconds{} ? Ink::green : Ink::orange, false,
        step.details);
    at += step.delta;
    largest = max(largest, at);
  }
  assert(std::abs((at - f.expected) / f.expected) < 1e-6);
  row("expected", {}, f.expected, Ink::sky, true, {});
  if (f.measured > Seconds{}) row("measured", {}, f.measured, Ink::vermillion, true, {});
  b.max = largest.value / u.scale;
  finish(s, add_bars(s, {12, s.height + 4, s.width - 24, 0}, b));
  return s;
}

DataTable data_table(const Waterfall& f) {
  DataTable t{f.caption.title, {{"where the time goes", false}, {"time"}, {"of expected"}}, {}};
  const auto row = [&](const std::string& name, Seconds x) {
    t.rows.push_back({name, text(x), percent(x / f.expected)});
  };
  row("floor: speed of light", f.floor);
  for (const auto& step : f.steps) row(step.name, step.delta);
  row("expected", f.expected);
  if (f.measured > Seconds{}) row("measured", f.measured);
  return t;
}

}  // namespace kvroof::reports
