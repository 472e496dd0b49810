#include "reports/figures/validation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "reports/figures/ratio_strip.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

constexpr std::size_t kDrawAll = 3000;

bool counts(const Validation::At& a) { return a.predicted > 0 && a.measured > 0; }

std::vector<Validation::At> all(const Validation& f) {
  std::vector<Validation::At> out;
  for (const auto& g : f.groups) out.insert(out.end(), g.at.begin(), g.at.end());
  return out;
}

/// A wedge around y = x on log axes, clipped to the plot by walking its edges inside the frame.
void add_wedge(Panel& p, double tolerance, double opacity) {
  const double lo = p.x.lo, hi = p.x.hi, up = 1 + tolerance, down = 1 - tolerance;
  add(p, Path{{{lo, lo}, {lo, lo * up}, {hi / up, hi}, {hi, hi}, {hi, hi * down}, {lo / down, lo}},
              true,
              {.fill = Ink::green, .opacity = opacity}});
}

/// Median and p5 – p95 of measured / predicted: the linear view that log axes deny.
std::vector<KeyRow::Ratio> ratios(const std::vector<Validation::At>& at, Ink ink, Shape shape) {
  std::vector<double> q;
  for (const auto& a : at)
    if (counts(a)) q.push_back(a.measured / a.predicted);
  if (q.empty()) return {};
  std::sort(q.begin(), q.end());
  const auto quantile = [&](double f) {
    return q[static_cast<std::size_t>(std::lround(f * static_cast<double>(q.size() - 1)))];
  };
  return {{quantile(0.5), quantile(0.05), quantile(0.95), ink, shape}};
}

}  // namespace

Accuracy accuracy(const std::vector<Validation::At>& at) {
  std::vector<double> errors;
  for (const auto& a : at)
    if (counts(a)) errors.push_back(a.predicted / a.measured - 1);
  Accuracy out{.rows = errors.size()};
  if (errors.empty()) return out;
  const double n = static_cast<double>(errors.size());
  for (double& e : errors) {
    out.bias += e / n;
    e = std::abs(e);
    out.mape += e / n;
    out.within_10 += (e <= 0.1) / n;
    out.within_20 += (e <= 0.2) / n;
  }
  std::sort(errors.begin(), errors.end());
  const std::size_t mid = errors.size() / 2;
  out.median_ape = errors.size() % 2 == 1 ? errors[mid] : (errors[mid - 1] + errors[mid]) / 2;
  return out;
}

Scene scene(const Validation& f, Canvas canvas) {
  Scene s = begin(f.caption, canvas);
  const std::vector<Validation::At> rows = all(f);
  const Accuracy total = accuracy(rows);
  double lo = 1e300, hi = 0;
  for (const auto& a : rows)
    if (counts(a))
      lo = std::min({lo, a.predicted, a.measured}), hi = std::max({hi, a.predicted, a.measured});
  if (!(hi > 0)) lo = 1, hi = 10;

  const bool stacked = canvas.narrow();
  const double side = stacked ? s.width - 12 : 470;
  Axis x =
      log_axis(lo * 0.9, hi * 1.1, fmt::format("predicted {}  [{}]", f.quantity, f.unit), side);
  Axis y = x;
  y.title = fmt::format("measured {}  [{}]", f.quantity, f.unit);
  const double top = s.height + 2;
  Panel& plot = add_plot(s, {6, top, side, side + 16}, std::move(x), std::move(y));
  add_wedge(plot, 0.2, 0.1);
  add_wedge(plot, 0.1, 0.14);
  add(plot, Path{{{plot.x.lo, plot.x.lo}, {plot.x.hi, plot.x.hi}}, false, {.stroke = Ink::ink}});

  const bool bin = rows.size() > kDrawAll;
  for (std::size_t i = 0; i < f.groups.size(); ++i) {
    const int look = static_cast<int>(i);
    std::set<std::pair<long, long>> taken;
    for (const auto& a : f.groups[i].at) {
      if (!counts(a)) continue;
      const Vec at{a.predicted, a.measured}, px = plot.px(at);
      if (bin && !taken.insert({std::lround(px.x / 3), std::lround(px.y / 3)}).second) continue;
      Tags tags;
      if (!bin)
        tags.tip = add_tip(
            s, tip(a.name.empty() ? f.groups[i].name : a.name,
                   {{"predicted", number(a.predicted) + " " + f.unit},
                    {"measured", number(a.measured) + " " + f.unit},
                    {"error", fmt::format("{:+.1f} %", 100 * (a.predicted / a.measured - 1))}},
                   a.details));
      tags.key = look + 1;
      add(plot,
          Dot{at,
              rows.size() > 300 ? 2.4 : 3.6,
              shape_of(look),
              {.fill = series(look), .opacity = 0.75}},
          tags);
    }
  }

  Panel& page = add_canvas(s);
  const double left = stacked ? 12 : side + 40, right = s.width - 12;
  double line = stacked ? top + side + 34 : top + 26;
  const auto put = [&](double at, std::string t, Text form, Tags tags = {}) {
    form.at = {at, line}, form.text = std::move(t);
    add(page, form, tags);
  };
  put(left, fmt::format("MAPE {}", percent(total.mape)), {.size = 15, .bold = true});
  line += 18;
  for (const std::string& l :
       wrap(fmt::format("median {}, bias {:+.1f} %, {} within ±10 %, {} within ±20 %, {} rows",
                        percent(total.median_ape), 100 * total.bias, percent(total.within_10),
                        percent(total.within_20), count(static_cast<double>(total.rows))),
            right - left, 11)) {
    put(left, l, {.ink = Ink::muted});
    line += 15;
  }
  std::vector<KeyRow> key;
  for (std::size_t i = 0; i < f.groups.size(); ++i) {
    const int look = static_cast<int>(i);
    const Accuracy a = accuracy(f.groups[i].at);
    key.push_back(
        {.name = fmt::format("{} ({})", f.groups[i].name, count(static_cast<double>(a.rows))),
         .ink = series(look),
         .shape = shape_of(look),
         .share_text = percent(a.mape),
         .ratios = ratios(f.groups[i].at, series(look), shape_of(look))});
  }
  line = add_key(s, {left, line + 4, right - left, 0}, key, {.share = "MAPE"}) + 14;
  put(left, "shaded: within ±10 % and ±20 % · bars: p5 – p95", {.size = 10, .ink = Ink::muted});
  finish(s, std::max(line, stacked ? 0 : top + side + 16));
  return s;
}

DataTable data_table(const Validation& f) {
  DataTable t{f.caption.title,
              {{"group", false},
               {"rows"},
               {"MAPE"},
               {"median"},
               {"bias"},
               {"within ±10 %"},
               {"within ±20 %"}},
              {}};
  const auto row = [&](const std::string& name, const Accuracy& a) {
    t.rows.push_back({name, count(static_cast<double>(a.rows)), percent(a.mape),
                      percent(a.median_ape), fmt::format("{:+.1f} %", 100 * a.bias),
                      percent(a.within_10), percent(a.within_20)});
  };
  for (const auto& g : f.groups) row(g.name, accuracy(g.at));
  row("all", accuracy(all(f)));
  return t;
}

}  // namespace kvroof::reports
