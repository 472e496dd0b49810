// Pareto fronts and latency over load.
#include <algorithm>
#include <numeric>

#include "reports/figures/curves.hpp"
#include "reports/figures/xy_plot.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {

std::vector<std::size_t> frontier(const std::vector<Pareto::At>& at) {
  std::vector<std::size_t> order(at.size());
  std::iota(order.begin(), order.end(), 0u);
  // Fastest first; of equals the one with more throughput. A point counts if it raises the maximum.
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    if (at[a].per_user != at[b].per_user) return at[a].per_user > at[b].per_user;
    return at[a].per_gpu > at[b].per_gpu;
  });
  std::vector<std::size_t> out;
  TokenRate best{-1};
  for (const std::size_t i : order)
    if (at[i].per_gpu > best) best = at[i].per_gpu, out.push_back(i);
  std::reverse(out.begin(), out.end());
  return out;
}

Scene scene(const Pareto& f, Canvas canvas) {
  Scene s = begin(f.caption, canvas);
  XyPlot xy{.names_at_ends = false};
  double x_hi = 0, y_hi = 0;
  for (std::size_t i = 0; i < f.series.size(); ++i) {
    const auto& series = f.series[i];
    XyLine line{.name = series.name, .look = static_cast<int>(i)};
    const std::vector<std::size_t> best = frontier(series.at);
    std::vector<int> tips;
    for (const auto& a : series.at) {
      x_hi = std::max(x_hi, a.per_user.value), y_hi = std::max(y_hi, a.per_gpu.value);
      tips.push_back(add_tip(s, tip(series.name + (a.label.empty() ? "" : " · " + a.label),
                                    {{"output tok/s per user", number(a.per_user.value)},
                                     {"output tok/s per GPU", number(a.per_gpu.value)}},
                                    a.details)));
    }
    for (std::size_t k = 0; k < series.at.size(); ++k) {
      if (std::find(best.begin(), best.end(), k) != best.end()) continue;
      line.faint.push_back({series.at[k].per_user.value, series.at[k].per_gpu.value});
      line.faint_tips.push_back(tips[k]);
    }
    for (const std::size_t k : best) {
      line.at.push_back({series.at[k].per_user.value, series.at[k].per_gpu.value});
      line.tips.push_back(tips[k]);
      line.labels.push_back(series.at[k].label);
    }
    xy.lines.push_back(std::move(line));
  }
  const double height = canvas.narrow() ? 300 : 380;
  xy.x = linear_axis(0, x_hi * 1.02, "speed for a user  [output tok/s per user]",
                     canvas.narrow() ? 4 : 8);
  xy.y = linear_axis(0, y_hi * 1.02, "output tok/s per GPU", 6);
  finish(s, add_xy(s, {6, s.height + 2, s.width - 12, 0}, height, std::move(xy)));
  return s;
}

DataTable data_table(const Pareto& f) {
  DataTable t{f.caption.title,
              {{"deployment", false},
               {"point", false},
               {"output tok/s per user"},
               {"output tok/s per GPU"},
               {"on the front", false}},
              {}};
  for (const auto& series : f.series) {
    const auto best = frontier(series.at);
    for (std::size_t k = 0; k < series.at.size(); ++k) {
      const auto& a = series.at[k];
      const bool on = std::find(best.begin(), best.end(), k) != best.end();
      t.rows.push_back({series.name, a.label, number(a.per_user.value), number(a.per_gpu.value),
                        on ? "yes" : "no"});
    }
  }
  return t;
}

Scene scene(const LoadCurve& f, Canvas canvas) {
  Scene s = begin(f.caption, canvas);
  double x_hi = 0;
  for (const auto& series : f.series)
    for (const auto& a : series.at) x_hi = std::max(x_hi, a.load);
  std::vector<std::vector<int>> tips;
  for (const auto& series : f.series) {
    tips.emplace_back();
    for (const auto& a : series.at) {
      std::vector<std::pair<std::string, std::string>> rows{{f.load_title, number(a.load)},
                                                            {"TTFT " + f.middle, text(a.ttft_p50)},
                                                            {"TPOT " + f.middle, text(a.tpot_p50)}};
      if (a.ttft_p99 > Seconds{}) rows.push_back({"TTFT p99", text(a.ttft_p99)});
      if (a.tpot_p99 > Seconds{}) rows.push_back({"TPOT p99", text(a.tpot_p99)});
      tips.back().push_back(add_tip(s, tip(series.name, std::move(rows), a.details)));
    }
  }
  const double height = canvas.narrow() ? 230 : 320;
  const auto part = [&](std::string title, Seconds slo, Seconds LoadCurve::At::*p50,
                        Seconds LoadCurve::At::*p99) {
    XyPlot xy;
    double lo = 1e300, hi = slo.value;
    for (std::size_t i = 0; i < f.series.size(); ++i) {
      XyLine median{.name = f.series[i].name, .look = static_cast<int>(i), .tips = tips[i]};
      XyLine tail{.name = "", .look = static_cast<int>(i), .dash = Dash::dashed, .dots = false};
      for (const auto& a : f.series[i].at) {
        median.at.push_back({a.load, (a.*p50).value / milli});
        if (a.*p99 > Seconds{}) tail.at.push_back({a.load, (a.*p99).value / milli});
        lo = std::min(lo, (a.*p50).value), hi = std::max({hi, (a.*p50).value, (a.*p99).value});
      }
      xy.lines.push_back(std::move(median));
      if (!tail.at.empty()) xy.lines.push_back(std::move(tail));
    }
    if (slo > Seconds{}) xy.levels.push_back({"SLO " + text(slo), slo.value / milli});
    xy.x = linear_axis(0, x_hi, f.load_title, 5);
    xy.y = value_axis(lo / milli, hi * 1.05 / milli, title + "  [ms]", height);
    return xy;
  };
  XyPlot ttft = part("TTFT", f.ttft_slo, &LoadCurve::At::ttft_p50, &LoadCurve::At::ttft_p99);
  XyPlot tpot = part("TPOT", f.tpot_slo, &LoadCurve::At::tpot_p50, &LoadCurve::At::tpot_p99);
  ttft.key = tpot.key = false;
  std::vector<SeriesName> key;
  for (std::size_t i = 0; i < f.series.size(); ++i)
    key.push_back({f.series[i].name, series(static_cast<int>(i)), shape_of(static_cast<int>(i))});
  const double top = add_series_key(add_canvas(s), key, 12, s.height + 10, s.width - 24) + 8;
  double bottom = 0;
  if (canvas.narrow()) {
    bottom = add_xy(s, {6, top, s.width - 12, 0}, height, std::move(ttft));
    bottom = add_xy(s, {6, bottom + 10, s.width - 12, 0}, height, std::move(tpot));
  } else {
    const double half = (s.width - 36) / 2;
    add_xy(s, {6, top, half, 0}, height, std::move(ttft));
    bottom = add_xy(s, {30 + half, top, half, 0}, height, std::move(tpot));
  }
  add(add_canvas(s),
      Text{.at = {12, bottom + 14},
           .text = f.middle == "p50" ? "solid: median · dashed: p99" : "solid: " + f.middle,
           .size = 10,
           .ink = Ink::muted});
  finish(s, bottom + 14);
  return s;
}

DataTable data_table(const LoadCurve& f) {
  DataTable t{f.caption.title,
              {{"deployment", false},
               {f.load_title},
               {"TTFT " + f.middle},
               {"TTFT p99"},
               {"TPOT " + f.middle},
               {"TPOT p99"}},
              {}};
  const auto known = [](Seconds x) { return x > Seconds{} ? text(x) : std::string("–"); };
  for (const auto& series : f.series)
    for (const auto& a : series.at)
      t.rows.push_back({series.name, number(a.load), text(a.ttft_p50), known(a.ttft_p99),
                        text(a.tpot_p50), known(a.tpot_p99)});
  return t;
}

}  // namespace kvroof::reports
