// KV cache and cost over context.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "reports/figures/curves.hpp"
#include "reports/figures/xy_plot.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

struct Range {
  double lo = 1e300, hi = 0;
  void cover(double v) {
    if (v > 0) lo = std::min(lo, v), hi = std::max(hi, v);
  }
};

double plot_height(const Canvas& c) { return c.narrow() ? 280 : 360; }

}  // namespace

Tokens crossing(const KvContext::Curve& c, Bytes capacity) {
  if (c.at.empty() || c.at.front().kv > capacity) return {};
  for (std::size_t i = 1; i < c.at.size(); ++i) {
    const auto& [x0, y0] = c.at[i - 1];
    const auto& [x1, y1] = c.at[i];
    if (y1 <= capacity) continue;
    const double along = std::log(capacity / y0) / std::log(y1 / y0);
    return Tokens{x0.value * std::pow(x1 / x0, along)};
  }
  return c.at.back().context;
}

Scene scene(const KvContext& f, Canvas canvas) {
  Scene s = begin(f.caption, canvas);
  XyPlot xy;
  Range x, y;
  for (std::size_t i = 0; i < f.curves.size(); ++i) {
    XyLine line{.name = f.curves[i].name, .look = static_cast<int>(i)};
    for (const auto& a : f.curves[i].at) {
      x.cover(a.context.value), y.cover(a.kv.value / gibi);
      line.at.push_back({a.context.value, a.kv.value / gibi});
      line.tips.push_back(add_tip(
          s, {f.curves[i].name, {{"context", text(a.context)}, {"KV cache", text(a.kv)}}, ""}));
    }
    xy.lines.push_back(std::move(line));
  }
  for (const auto& c : f.capacities) {
    y.cover(c.kv.value / gibi);
    xy.levels.push_back({c.gpu + ": " + text(c.kv), c.kv.value / gibi});
    for (const auto& curve : f.curves) {
      const Tokens at = crossing(curve, c.kv);
      if (at <= Tokens{} || at >= curve.at.back().context) continue;
      const int id = add_tip(s, {curve.name + " on " + c.gpu,
                                 {{"fits up to", text(Tokens{std::floor(at.value)}) + " tokens"},
                                  {"capacity for KV", text(c.kv)}},
                                 "where the curve meets the capacity"});
      xy.crossings.push_back({{at.value, c.kv.value / gibi}, id});
    }
  }
  const double height = plot_height(canvas);
  xy.x = token_axis(x.lo, x.hi, "context  [tokens]", canvas.width - 120);
  xy.y = log_axis(y.lo, y.hi * 1.4, "KV cache  [GiB]", height);
  finish(s, add_xy(s, {6, s.height + 2, s.width - 12, 0}, height, std::move(xy)));
  return s;
}

DataTable data_table(const KvContext& f) {
  DataTable t{f.caption.title, {{"curve", false}, {"context, tokens"}, {"KV cache"}}, {}};
  for (const auto& c : f.curves)
    for (const auto& a : c.at) t.rows.push_back({c.name, text(a.context), text(a.kv)});
  for (const auto& c : f.capacities) {
    t.rows.push_back({c.gpu + ": capacity for KV", "–", text(c.kv)});
    for (const auto& curve : f.curves)
      if (const Tokens at = crossing(curve, c.kv); at > Tokens{} && at < curve.at.back().context)
        t.rows.push_back({c.gpu + ": " + curve.name + " fits up to",
                          text(Tokens{std::floor(at.value)}), text(c.kv)});
  }
  return t;
}

Scene scene(const CostContext& f, Canvas canvas) {
  Scene s = begin(f.caption, canvas);
  XyPlot xy;
  Range x, y;
  for (std::size_t i = 0; i < f.series.size(); ++i) {
    const auto& series = f.series[i];
    XyLine line{.name = series.name, .look = static_cast<int>(i)};
    for (const auto& a : series.at) {
      x.cover(a.context.value), y.cover(a.usd_per_million);
      line.at.push_back({a.context.value, a.usd_per_million});
      line.tips.push_back(add_tip(
          s,
          tip(series.name,
              {{"context", text(a.context)},
               {"cost", fmt::format("${} per million output tokens", number(a.usd_per_million))}},
              a.details)));
    }
    xy.lines.push_back(std::move(line));
  }
  const double height = plot_height(canvas);
  xy.x = token_axis(x.lo, x.hi, "context  [tokens]", canvas.width - 120);
  xy.y = value_axis(y.lo, y.hi * 1.05, "cost  [$ per million output tokens]", height);
  finish(s, add_xy(s, {6, s.height + 2, s.width - 12, 0}, height, std::move(xy)));
  return s;
}

DataTable data_table(const CostContext& f) {
  DataTable t{f.caption.title,
              {{"deployment", false}, {"context, tokens"}, {"$ per million output tokens"}},
              {}};
  for (const auto& series : f.series)
    for (const auto& a : series.at)
      t.rows.push_back({series.name, text(a.context), number(a.usd_per_million)});
  return t;
}

}  // namespace kvroof::reports
