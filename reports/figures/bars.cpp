#include "reports/figures/bars.hpp"

#include <algorithm>

#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

constexpr double kSize = 11, kGap = 14;

struct Layout {
  bool stacked;
  double name, left, right, row;  // px: name width, bar area, height of a row
  std::vector<double> columns;    // right edges of the value columns
};

Layout layout(const Scene& s, Rect area, const Bars& b) {
  Layout l{.stacked = s.width < 640,
           .name = 0,
           .left = area.x,
           .right = area.right(),
           .row = b.height + 12,
           .columns = {}};
  std::vector<double> widths;
  for (const std::string& h : b.heads) widths.push_back(text_width(h, 10));
  for (const BarRow& r : b.rows) {
    l.name = std::max(l.name, text_width(r.name, kSize, r.bold));
    for (std::size_t i = 0; i < r.values.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], text_width(r.values[i], kSize, r.bold));
  }
  double edge = area.right(), total = 0;
  for (std::size_t i = widths.size(); i-- > 0;) {
    l.columns.insert(l.columns.begin(), edge);
    edge -= widths[i] + kGap;
    total += widths[i] + kGap;
  }
  if (l.stacked) {
    l.row += 18;
    l.name = area.w - total;
  } else {
    l.name = std::min(l.name, 220.);
    l.left = area.x + l.name + 12;
    l.right = area.right() - total;
  }
  return l;
}

}  // namespace

double add_bars(Scene& s, Rect area, const Bars& b) {
  const Layout l = layout(s, area, b);
  const double top = area.y + (b.heads.empty() ? 4 : 20);
  const double bottom = top + l.row * static_cast<double>(b.rows.size());
  const double n = static_cast<double>(b.rows.size());
  Axis x = linear_axis(0, b.max, b.axis_title, l.right - l.left < 300 ? 3 : 6);
  x.hi = std::max(b.max * 1.02, 1e-300);  // end with the data, not with the next tick
  std::erase_if(x.ticks, [&](const Tick& t) { return t.at > x.hi; });
  s.panels.push_back({{l.left, top, l.right - l.left, bottom - top},
                      true,
                      std::move(x),
                      Axis{n, 0, Scale::linear, "", {}, false},
                      {}});
  Panel& plot = s.panels.back();
  Panel& page = add_canvas(s);

  for (std::size_t i = 0; i < b.heads.size(); ++i)
    add(page, Text{.at = {l.columns[i], area.y + 12},
                   .text = b.heads[i],
                   .anchor = Anchor::end,
                   .size = 10,
                   .ink = Ink::muted});
  for (std::size_t i = 0; i < b.rows.size(); ++i) {
    const BarRow& r = b.rows[i];
    const double y0 = top + l.row * static_cast<double>(i);
    const double mid = l.stacked ? y0 + l.row - 6 - b.height / 2 : y0 + l.row / 2;
    const double base = l.stacked ? y0 + 15 : mid + 4;
    const Tags tags{.tip = r.tip, .key = static_cast<int>(i) + 1};
    const auto y = [&](double px) { return (px - top) / l.row; };
    for (const auto& seg : r.segments) {
      Tags own = tags;
      if (seg.tip >= 0) own.tip = seg.tip;
      add(plot,
          Bar{{seg.from, y(mid - b.height / 2 + seg.inset)},
              {seg.to, y(mid + b.height / 2 - seg.inset)},
              seg.style},
          own);
      const double width = plot.px({seg.to, 0}).x - plot.px({seg.from, 0}).x;
      if (!seg.label.empty() && text_width(seg.label, 10) + 8 < width)
        add(page,
            Text{.at = {plot.px({(seg.from + seg.to) / 2, 0}).x, mid + 3.6},
                 .text = seg.label,
                 .anchor = Anchor::middle,
                 .size = 10,
                 .ink = Ink::ink},
            own);
    }
    for (const auto& m : r.marks)
      if (m.line)
        add(plot,
            Path{{{m.at, y(mid - b.height / 2 - 4)}, {m.at, y(mid + b.height / 2 + 4)}},
                 false,
                 {.stroke = m.ink, .width = 2}},
            tags);
      else
        add(plot, Dot{{m.at, y(mid)}, 4.5, Shape::diamond, {.fill = m.ink, .stroke = Ink::paper}},
            tags);
    add(page, Text{.at = {area.x, base}, .text = ellipsize(r.name, l.name, kSize), .bold = r.bold},
        tags);
    for (std::size_t k = 0; k < r.values.size() && k < l.columns.size(); ++k)
      add(page,
          Text{.at = {l.columns[k], base},
               .text = r.values[k],
               .anchor = Anchor::end,
               .bold = r.bold},
          tags);
  }
  return bottom + (b.axis_title.empty() ? 20 : 36);
}

}  // namespace kvroof::reports
