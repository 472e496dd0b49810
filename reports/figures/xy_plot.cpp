#include "reports/figures/xy_plot.hpp"

#include <algorithm>
#include <numeric>

#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

constexpr double kLine = 14;  // between two names at line ends, px

struct EndName {
  const XyLine* line;
  Vec end;       // px
  double y = 0;  // where the name stands
};

/// Pushes names apart, top to bottom, then back up if they ran out below.
void spread(std::vector<EndName>& names, double top, double bottom) {
  std::stable_sort(names.begin(), names.end(), [](auto& a, auto& b) { return a.end.y < b.end.y; });
  double y = top;
  for (EndName& n : names) n.y = y = std::max(n.end.y, y), y += kLine;
  y = bottom;
  for (auto n = names.rbegin(); n != names.rend(); ++n) n->y = y = std::min(n->y, y), y -= kLine;
}

void add_end_names(Scene& s, const Panel& plot, const XyPlot& xy) {
  std::vector<EndName> names;
  for (const XyLine& l : xy.lines)
    if (!l.at.empty() && !l.name.empty()) names.push_back({&l, plot.px(l.at.back())});
  spread(names, plot.box.y + 6, plot.box.bottom() - 4);
  Panel& page = add_canvas(s);
  for (const EndName& n : names) {
    const Ink ink = series(n.line->look);
    const double x = plot.box.right() + 22;
    add(page, Path{{{n.end.x + 5, n.end.y}, {x - 4, n.y}},
                   false,
                   {.stroke = ink, .width = 0.7, .dash = Dash::dotted}});
    add(page, Text{.at = {x, n.y + 4}, .text = n.line->name, .ink = ink});
  }
}

void add_line(Panel& plot, Placer& placer, const XyLine& l) {
  const Ink ink = series(l.look);
  const Shape shape = shape_of(l.look);
  for (std::size_t i = 0; i < l.faint.size(); ++i)
    add(plot, Dot{l.faint[i], 2.6, shape, {.fill = ink, .opacity = 0.35}},
        {.tip = i < l.faint_tips.size() ? l.faint_tips[i] : -1});
  add(plot, Path{l.at, false, {.stroke = ink, .width = 1.8, .dash = l.dash}});
  for (std::size_t i = 0; i < l.at.size(); ++i) {
    const Vec px = plot.px(l.at[i]);
    if (l.dots) {
      add(plot, Dot{l.at[i], 4, shape, {.fill = ink, .stroke = Ink::paper}},
          {.tip = i < l.tips.size() ? l.tips[i] : -1});
      placer.block({px, 4, 4, 0});
    }
    if (i > 0) placer.avoid_line(plot.px(l.at[i - 1]), px);
  }
}

/// Only near its point: a label that would need a leader is left to the tip.
void add_point_labels(Panel& plot, Placer& placer, const XyLine& l) {
  for (std::size_t i = 0; i < l.labels.size(); ++i) {
    std::vector<Box> boxes;
    std::vector<Text> texts;
    for (const Anchor anchor : {Anchor::start, Anchor::end, Anchor::middle})
      for (const double up : {-8., 4., 16.}) {
        if (anchor == Anchor::middle && up == 4) continue;
        texts.push_back({.at = l.at[i],
                         .shift = {anchor == Anchor::start ? 7.
                                   : anchor == Anchor::end ? -7.
                                                           : 0.,
                                   up},
                         .text = l.labels[i],
                         .anchor = anchor,
                         .size = 9.5,
                         .ink = Ink::muted});
        boxes.push_back(text_box(plot, texts.back()));
      }
    if (const auto chosen = placer.place(boxes))
      add(plot, texts[*chosen], {.tip = i < l.tips.size() ? l.tips[i] : -1});
  }
}

/// Along the line where nothing is covered, at its left end if possible; false if nowhere.
bool add_level_name(Panel& plot, Placer& placer, const XyLevel& l) {
  const double edge = (text_width(l.name, 10.5) / 2 + 4) / plot.box.w;
  std::vector<double> along{edge, 1 - edge};
  for (double x = edge + 0.02; x < 1 - edge; x += 0.02) along.push_back(x);
  return add_label_along(plot, placer, {.text = l.name, .size = 10.5}, plot.px({plot.x.lo, l.y}),
                         plot.px({plot.x.hi, l.y}), {-5, 13}, along, {});
}

}  // namespace

Axis value_axis(double lo, double hi, std::string title, double px) {
  if (lo > 0 && hi / lo > 20) return log_axis(lo, hi, std::move(title), px);
  return linear_axis(0, hi, std::move(title), std::max(3, static_cast<int>(px / 60)));
}

double add_xy(Scene& s, Rect area, double height, XyPlot xy) {
  double names_width = 0;
  std::vector<SeriesName> key;
  for (const XyLine& l : xy.lines)
    if (!l.name.empty()) {
      names_width = std::max(names_width, text_width(l.name, 11) + 24);
      key.push_back({l.name, series(l.look), shape_of(l.look)});
    }
  const bool at_ends = xy.key && xy.names_at_ends && area.w > 420 && names_width < 0.3 * area.w;
  double top = area.y;
  if (xy.key && !at_ends)
    top = add_series_key(add_canvas(s), key, area.x + 6, top + 12, area.w - 12) + 6;
  Panel& plot =
      add_plot(s, {area.x, top, area.w - (at_ends ? names_width : 0), height}, xy.x, xy.y);

  Placer placer(plot.box);
  for (const XyLine& l : xy.lines) add_line(plot, placer, l);
  for (const auto& [at, id] : xy.crossings) {
    add(plot, Dot{at, 5, Shape::circle, {.fill = Ink::paper, .stroke = Ink::ink, .width = 1.6}},
        {.tip = id});
    placer.block({plot.px(at), 6, 6, 0});
  }
  for (const XyLevel& l : xy.levels) {
    if (plot.y.at(l.y) < 0 || plot.y.at(l.y) > 1) continue;
    const Vec from{plot.x.lo, l.y}, to{plot.x.hi, l.y};
    add(plot, Path{{from, to}, false, {.stroke = Ink::ink, .width = 1.3, .dash = Dash::dashed}});
    placer.avoid_line(plot.px(from), plot.px(to));
  }
  std::string unplaced;
  for (const XyLevel& l : xy.levels)
    if (plot.y.at(l.y) >= 0 && plot.y.at(l.y) <= 1 && !add_level_name(plot, placer, l))
      unplaced += (unplaced.empty() ? "dashed lines: " : ", ") + l.name;
  for (const XyLine& l : xy.lines) add_point_labels(plot, placer, l);
  if (at_ends) add_end_names(s, plot, xy);
  double bottom = top + height;
  if (!unplaced.empty())
    for (const std::string& line : wrap(unplaced, area.w - 12, 10))
      add(add_canvas(s),
          Text{.at = {area.x + 6, bottom += 14}, .text = line, .size = 10, .ink = Ink::muted});
  return bottom;
}

}  // namespace kvroof::reports
