#include <fmt/format.h>

#include <algorithm>

#include "reports/figures/roofline_parts.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

/// The highest roof a slope runs up to; hidden ones do not count.
struct Top {
  double usable = 0, datasheet = 0;
};
Top top(const Roofline::Gpu& g) {
  Top t;
  for (const auto& k : g.peaks)
    if (k.shown || t.usable == 0) {
      t.usable = std::max(t.usable, usable(k).value);
      t.datasheet = std::max(t.datasheet, k.datasheet.value);
    }
  return t;
}

/// "HBM3e  4.28 measured – 4.8 datasheet TB/s", then shorter forms for narrow plots.
std::vector<std::string> label_forms(const std::string& gpu, const std::string& name,
                                     double measured, double datasheet, const std::string& how,
                                     const char* unit) {
  const std::string head = gpu.empty() ? name : gpu + " " + name;
  if (!(measured > 0) || measured == datasheet) {
    const char* kind = measured > 0 ? "" : " datasheet";
    return {fmt::format("{}  {}{} {}", head, number(datasheet), kind, unit),
            fmt::format("{} {}", head, number(datasheet)), head};
  }
  std::vector<std::string> forms{
      fmt::format("{}  {} {} – {} datasheet {}", head, number(measured), how, number(datasheet),
                  unit),
      fmt::format("{}  {} – {} {}", head, number(measured), number(datasheet), unit),
      fmt::format("{} {} – {}", head, number(measured), number(datasheet)), head};
  // Several GPUs share the plot: be short, the key has the numbers.
  if (!gpu.empty()) forms.erase(forms.begin()), forms.push_back(gpu);
  return forms;
}

struct Line {
  Vec from, to;  // data
};

void add_roof_label(Panel& p, Placer& placer, const std::vector<std::string>& forms, Line upper,
                    Line lower, Ink ink, bool flat, bool cross_lines, const Tags& tags) {
  std::vector<double> slope_at;  // from a third of the way outwards
  for (int i = 0; i < 20; ++i)
    slope_at.push_back(0.36 + (i % 2 == 0 ? 0.03 : -0.03) * ((i + 1) / 2));
  const Vec a = p.px(upper.from), b = p.px(upper.to), c = p.px(lower.from), d = p.px(lower.to);
  for (const std::string& form : forms) {
    const Text t{.text = form, .size = 10.5, .ink = ink};
    std::vector<double> at = slope_at;
    if (flat) {  // right-aligned against the frame, or against the ridge
      const double half = text_width(form, t.size) / 2, length = b.x - a.x;
      if (length > 0) at = {1 - (half + 3) / length, (half + 3) / length, 0.5};
    }
    if (add_label_along(p, placer, t, a, b, {-5}, at, tags, cross_lines)) return;
    if (add_label_along(p, placer, t, c, d, {13}, at, tags, cross_lines)) return;
  }
}

void add_band(Panel& p, std::vector<Vec> edge, std::vector<Vec> datasheet, Ink ink, double width,
              const Tags& tags) {
  std::vector<Vec> outline = edge;
  outline.insert(outline.end(), datasheet.rbegin(), datasheet.rend());
  add(p, Path{std::move(outline), true, {.fill = ink, .opacity = 0.16}}, tags);
  add(p, Path{std::move(datasheet), false, {.stroke = ink, .width = 0.8, .dash = Dash::dashed}},
      tags);
  add(p, Path{std::move(edge), false, {.stroke = ink, .width = width}}, tags);
}

/// Where a slope enters the plot: at its left edge or its bottom.
Vec entry(const Panel& p, double rate) {
  const double x = std::max(p.x.lo, p.y.lo / rate);
  return {x, x * rate};
}

}  // namespace

Intensity ridge(const Roofline::Gpu& g) {
  if (g.levels.empty() || g.peaks.empty()) return {};
  return usable(g.peaks[0]) / usable(g.levels[0]);
}

std::pair<Axis, Axis> roofline_axes(const Roofline& f, double width, double height) {
  double x_lo = 1e300, x_hi = 0, y_lo = 1e300, y_hi = 0;
  const auto cover = [&](Intensity i, Throughput t) {
    if (!(i.value > 0) || !(t.value > 0)) return;
    x_lo = std::min(x_lo, i.value / 1.6), x_hi = std::max(x_hi, i.value * 1.6);
    y_lo = std::min(y_lo, t.value / 1.8), y_hi = std::max(y_hi, t.value * 1.3);
  };
  for (const auto& pt : f.points) {
    cover(pt.intensity, pt.predicted), cover(pt.intensity, pt.measured);
    for (const auto& level : pt.at_level) cover(level.second, pt.predicted);
  }
  for (const auto& t : f.trajectories)
    for (const auto& a : t.at) cover(a.intensity, a.attained);
  for (const auto& g : f.gpus) {
    y_hi = std::max(y_hi, 1.5 * top(g).datasheet);
    const double r = ridge(g).value;
    if (r > 0) {
      x_lo = std::min(x_lo, r / 20), x_hi = std::max(x_hi, 7 * r);
      y_lo = std::min(y_lo, usable(g.peaks[0]).value / 20);
    }
  }
  if (!(x_hi > 0)) x_lo = 1, x_hi = 1000;
  if (!(y_hi > 0)) y_lo = tera, y_hi = peta;
  Axis x = log_axis(x_lo, x_hi, "arithmetic intensity  [FLOP per HBM byte]", width);
  Axis y = log_axis(y_lo / tera, y_hi / tera, "attained  [TFLOP/s per GPU]", height);
  const bool levels = std::any_of(f.gpus.begin(), f.gpus.end(), [](const auto& g) {
    return std::any_of(g.levels.begin(), g.levels.end(),
                       [&](const auto& l) { return l.shown && &l != &g.levels[0]; });
  });
  if (levels) x.title = "arithmetic intensity  [FLOP per byte of the level]";
  return {std::move(x), std::move(y)};
}

void add_roofs(Panel& p, Placer& placer, const Roofline& f) {
  const bool several = f.gpus.size() > 1;
  struct Pending {
    std::vector<std::string> forms;
    Line upper, lower;
    Ink ink;
    bool flat;
    Tags tags;
  };
  std::vector<Pending> labels;
  for (std::size_t i = 0; i < f.gpus.size(); ++i) {
    const Roofline::Gpu& g = f.gpus[i];
    const int gpu = several ? static_cast<int>(i) : -1;
    const Ink ink = several ? series(static_cast<int>(i)) : Ink::ink;
    const std::string prefix = several ? g.name : "";
    const Top highest = top(g);
    const double peak = highest.usable / tera, peak_ds = highest.datasheet / tera;
    for (const auto& l : g.levels) {
      const bool main = &l == &g.levels[0];
      const Ink own = main || several ? ink : Ink::grey;
      const double rate = usable(l).value / tera, rate_ds = l.datasheet.value / tera;
      if (!(rate > 0) || entry(p, rate).y >= peak) continue;
      const Tags tags{.gpu = gpu, .roof = l.id, .hidden = !main && !l.shown};
      const Line lower{entry(p, rate), {peak / rate, peak}};
      const Line upper{entry(p, rate_ds), {peak_ds / rate_ds, peak_ds}};
      add_band(p, {lower.from, lower.to}, {upper.from, upper.to}, own, main ? 2 : 1.2, tags);
      placer.avoid_line(p.px(lower.from), p.px(lower.to));
      placer.avoid_line(p.px(upper.from), p.px(upper.to));
      labels.push_back(
          {label_forms(prefix, l.name, l.measured.value / tera, rate_ds, l.how, "TB/s"), upper,
           lower, own, false, tags});
    }
    if (g.levels.empty()) continue;
    const double rate = usable(g.levels[0]).value / tera,
                 rate_ds = g.levels[0].datasheet.value / tera;
    for (const auto& k : g.peaks) {
      const bool main = &k == &g.peaks[0];
      const double y = usable(k).value / tera, y_ds = k.datasheet.value / tera;
      if (!(y > 0)) continue;
      const Tags tags{.gpu = gpu, .roof = k.id, .hidden = !main && !k.shown};
      const Line lower{{y / rate, y}, {p.x.hi, y}}, upper{{y_ds / rate_ds, y_ds}, {p.x.hi, y_ds}};
      add_band(p, {lower.from, lower.to}, {upper.from, upper.to}, ink, main ? 2 : 1.2, tags);
      placer.avoid_line(p.px(lower.from), p.px(lower.to));
      placer.avoid_line(p.px(upper.from), p.px(upper.to));
      labels.push_back(
          {label_forms(prefix, k.name, k.measured.value / tera, y_ds, k.how, "TFLOP/s"), upper,
           lower, ink, true, tags});
    }
    if (const double r = ridge(g).value; r > p.x.lo && r < p.x.hi) {
      const double y = usable(g.peaks[0]).value / tera;
      const Tags tags{.gpu = gpu, .roof = "ridge"};
      add(p, Path{{{r, y}, {r, p.y.lo}}, false, {.stroke = ink, .width = 1, .dash = Dash::dotted}},
          tags);
      placer.avoid_line(p.px({r, y}), p.px({r, p.y.lo}));
    }
  }
  for (const Pending& l : labels)
    add_roof_label(p, placer, l.forms, l.upper, l.lower, l.ink, l.flat, !several, l.tags);
  for (std::size_t i = 0; i < f.gpus.size(); ++i) {
    const double r = ridge(f.gpus[i]).value;
    if (!(r > p.x.lo && r < p.x.hi)) continue;
    const Ink ink = several ? series(static_cast<int>(i)) : Ink::muted;
    std::vector<Box> candidates;
    std::vector<Text> texts;
    for (const Anchor anchor : {Anchor::start, Anchor::end})
      for (double up = 8; up < 90; up += 14) {
        texts.push_back({.at = {r, p.y.lo},
                         .shift = {anchor == Anchor::start ? 4. : -4., -up},
                         .text = number(r) + " FLOP/B",
                         .anchor = anchor,
                         .size = 10.5,
                         .ink = ink});
        candidates.push_back(text_box(p, texts.back()));
      }
    if (const auto chosen = placer.place(candidates))
      add(p, texts[*chosen], {.gpu = several ? static_cast<int>(i) : -1, .roof = "ridge"});
  }
}

}  // namespace kvroof::reports
