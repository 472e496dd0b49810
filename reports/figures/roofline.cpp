#include "reports/figures/roofline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "reports/figures/ratio_strip.hpp"
#include "reports/figures/roofline_parts.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

using Point = Roofline::Point;

/// Colour and shape: by GPU if there are several, else by kind of op.
struct Look {
  Ink ink;
  Shape shape;
};
class Looks {
 public:
  explicit Looks(const Roofline& f) : several_(f.gpus.size() > 1) {
    for (const Point& p : f.points)
      if (std::find(kinds_.begin(), kinds_.end(), p.kind) == kinds_.end()) kinds_.push_back(p.kind);
  }
  Look of(const Point& p) const {
    const auto kind = std::find(kinds_.begin(), kinds_.end(), p.kind) - kinds_.begin();
    const int i = several_ ? p.gpu : static_cast<int>(kind);
    return {series(i), shape_of(i)};
  }
  bool several() const { return several_; }
  const std::vector<std::string>& kinds() const { return kinds_; }

 private:
  bool several_;
  std::vector<std::string> kinds_;
};

/// Area grows with the share of the step; a share of zero is still a dot.
double radius(double share) { return std::sqrt(16 + 150 * std::clamp(share, 0., 1.)); }

Throughput drawn(const Point& p) { return p.measured > Throughput{} ? p.measured : p.predicted; }
bool placed(const Point& p) { return p.intensity.value > 0 && drawn(p).value > 0; }

std::string level_name(const Roofline::Gpu& g, const std::string& id) {
  for (const auto& l : g.levels)
    if (l.id == id) return l.name;
  return id;
}

Tip point_tip(const Roofline& f, const Point& p, int n) {
  std::vector<std::pair<std::string, std::string>> rows;
  if (f.gpus.size() > 1) rows.push_back({"GPU", f.gpus[static_cast<std::size_t>(p.gpu)].name});
  if (p.intensity.value > 0) rows.push_back({"FLOP per HBM byte", number(p.intensity.value)});
  for (const auto& [level, i] : p.at_level)
    rows.push_back(
        {"FLOP per " + level_name(f.gpus[static_cast<std::size_t>(p.gpu)], level) + " byte",
         number(i.value)});
  if (p.predicted.value > 0) rows.push_back({"predicted", text(p.predicted)});
  if (p.measured.value > 0) rows.push_back({"measured", text(p.measured)});
  if (p.predicted.value > 0 && p.measured.value > 0)
    rows.push_back({"measured ÷ predicted time", fmt::format("{:.3f}", p.predicted / p.measured)});
  if (p.share > 0) rows.push_back({"share of step", percent(p.share)});
  return tip(fmt::format("{} {}", n, p.name), std::move(rows), p.details);
}

void add_levels(Panel& plot, const Roofline& f, const Point& p, Look look, double r,
                const Tags& tags) {
  for (const auto& [id, intensity] : p.at_level) {
    const auto& levels = f.gpus[static_cast<std::size_t>(p.gpu)].levels;
    const auto level =
        std::find_if(levels.begin(), levels.end(), [&](auto& l) { return l.id == id; });
    if (level == levels.end() || !(intensity.value > 0)) continue;
    Tags own = tags;
    own.roof = id, own.hidden = !level->shown;
    const double y = drawn(p).value / tera;
    add(plot,
        Path{{{p.intensity.value, y}, {intensity.value, y}},
             false,
             {.stroke = look.ink, .width = 0.8, .dash = Dash::dotted}},
        own);
    add(plot,
        Dot{{intensity.value, y},
            0.6 * r,
            look.shape,
            {.fill = Ink::paper, .opacity = 0.6, .stroke = look.ink, .width = 1.2}},
        own);
  }
}

void add_point(Panel& plot, const Roofline& f, const Point& p, Look look, const Tags& tags) {
  const double x = p.intensity.value, r = radius(p.share);
  const Vec predicted{x, p.predicted.value / tera}, measured{x, p.measured.value / tera};
  const Style hollow{.fill = Ink::paper, .opacity = 0.6, .stroke = look.ink, .width = 1.8};
  if (predicted.y > 0 && measured.y > 0)
    add(plot, Path{{predicted, measured}, false, {.stroke = look.ink, .width = 1.2}}, tags);
  if (predicted.y > 0) add(plot, Dot{predicted, r, look.shape, hollow}, tags);
  if (measured.y > 0)
    add(plot,
        Dot{measured, r, look.shape, {.fill = look.ink, .opacity = 0.9, .stroke = Ink::paper}},
        tags);
  add_levels(plot, f, p, look, r, tags);
}

/// Ops that share one place (in decode all linear layers do) get their numbers in one row.
void add_numbers(Panel& plot, Placer& placer, const Roofline& f, const Looks& looks,
                 const std::vector<int>& numbers, const std::vector<Tags>& tags) {
  const double kNear = 9;  // px
  std::vector<bool> done(f.points.size());
  const auto px = [&](const Point& p) {
    return plot.px({p.intensity.value, drawn(p).value / tera});
  };
  for (std::size_t i = 0; i < f.points.size(); ++i) {
    if (done[i] || !placed(f.points[i])) continue;
    std::vector<std::size_t> together;
    std::string row;
    double clear = 0;
    const Vec here = px(f.points[i]);
    for (std::size_t k = i; k < f.points.size(); ++k) {
      if (done[k] || !placed(f.points[k]) || f.points[k].gpu != f.points[i].gpu) continue;
      const Vec at = px(f.points[k]);
      if (std::hypot(at.x - here.x, at.y - here.y) > kNear) continue;
      done[k] = true;
      const bool named = std::any_of(together.begin(), together.end(),
                                     [&](std::size_t j) { return numbers[j] == numbers[k]; });
      if (named) continue;  // several shapes of one kernel at one place
      together.push_back(k);
      clear = std::max(clear, radius(f.points[k].share));
      row += fmt::format("{}{}", row.empty() ? "" : " ", numbers[k]);
    }
    Text t{.at = {f.points[i].intensity.value, drawn(f.points[i]).value / tera},
           .text = row,
           .bold = true};
    const auto spot = find_spot(plot, placer, t, {.gpu = tags[i].gpu}, clear);
    if (!spot) continue;
    const double width = text_width(row, t.size, true);
    double x = spot->shift.x - (spot->anchor == Anchor::end      ? width
                                : spot->anchor == Anchor::middle ? width / 2
                                                                 : 0);
    for (const std::size_t k : together) {
      t = *spot;
      t.anchor = Anchor::start, t.shift.x = x, t.text = fmt::format("{}", numbers[k]);
      t.ink = looks.of(f.points[k]).ink;
      x += text_width(t.text + " ", t.size, true);
      add(plot, t, tags[k]);
    }
  }
}

void add_trajectories(Scene& s, Panel& plot, Placer& placer, const Roofline& f) {
  for (const auto& t : f.trajectories) {
    const int gpu = f.gpus.size() > 1 ? t.gpu : -1;
    const Ink ink = f.gpus.size() > 1 ? series(t.gpu) : Ink::muted;
    std::vector<Vec> line;
    for (const auto& a : t.at) line.push_back({a.intensity.value, a.attained.value / tera});
    add(plot, Path{line, false, {.stroke = ink, .width = 1.2}}, {.gpu = gpu});
    for (std::size_t i = 0; i < t.at.size(); ++i) {
      const int id = add_tip(s, tip(fmt::format("{} · batch {}", t.name, t.at[i].batch),
                                    {{"FLOP per HBM byte", number(t.at[i].intensity.value)},
                                     {"attained", text(t.at[i].attained)}},
                                    {}));
      const Tags tags{.tip = id, .gpu = gpu, .batch = t.at[i].batch};
      add(plot, Dot{line[i], 3, Shape::circle, {.fill = ink, .stroke = Ink::paper}}, tags);
      // Every batch is labelled if there is room; the ends first, they tell the range.
    }
    std::vector<std::size_t> order(t.at.size());
    std::iota(order.begin(), order.end(), 0u);
    if (order.size() > 1) std::swap(order[1], order.back());
    for (const std::size_t i : order) {
      const bool end = i == 0 || i + 1 == t.at.size();
      const Text label{.at = line[i],
                       .text = fmt::format("{}{}", i == 0 ? "batch " : "", t.at[i].batch),
                       .size = 10,
                       .ink = ink};
      std::vector<Box> near;
      std::vector<Text> texts;
      for (const Vec shift :
           {Vec{0, 15}, Vec{0, -8}, Vec{9, 12}, Vec{-9, -6}, Vec{9, 4}, Vec{-9, 4}}) {
        texts.push_back(label);
        texts.back().shift = shift;
        texts.back().anchor = shift.x > 0   ? Anchor::start
                              : shift.x < 0 ? Anchor::end
                                            : Anchor::middle;
        near.push_back(text_box(plot, texts.back()));
      }
      const Tags tags{.gpu = gpu, .batch = t.at[i].batch};
      if (const auto chosen = placer.place(near)) add(plot, texts[*chosen], tags);
      else if (end) add_label(plot, placer, label, tags);
    }
  }
}

/// " · 4.28 – 4.80 TB/s · 754 – 989 TFLOP/s": measured to datasheet, as in the plot.
std::string roofs_of(const Roofline::Gpu& g) {
  const auto range = [](double measured, double datasheet, const char* unit) {
    const std::string top = number(datasheet / tera);
    if (!(measured > 0) || measured == datasheet) return fmt::format(" · {} {}", top, unit);
    return fmt::format(" · {} – {} {}", number(measured / tera), top, unit);
  };
  std::string out;
  if (!g.levels.empty())
    out += range(g.levels[0].measured.value, g.levels[0].datasheet.value, "TB/s");
  if (!g.peaks.empty())
    out += range(g.peaks[0].measured.value, g.peaks[0].datasheet.value, "TFLOP/s");
  return out;
}

Layers layers(const Roofline& f) {
  Layers out;
  const auto roof = [&](const std::string& id, const std::string& name) {
    for (const auto& r : out.roofs)
      if (r.first == id) return;
    out.roofs.emplace_back(id, name);
  };
  for (const auto& g : f.gpus) {
    out.gpus.push_back(g.name);
    for (const auto& l : g.levels) roof(l.id, l.name);
    for (const auto& k : g.peaks) roof(k.id, k.name);
  }
  roof("ridge", "ridge");
  return out;
}

std::vector<KeyRow> key_rows(const Roofline& f, const Looks& looks, const std::vector<int>& numbers,
                             const std::vector<int>& tips) {
  std::vector<KeyRow> rows;
  for (std::size_t i = 0; i < f.points.size(); ++i) {
    const Point& p = f.points[i];
    const auto n = static_cast<std::size_t>(numbers[i]);
    if (rows.size() < n) {
      const Look look = looks.of(p);
      rows.push_back({.number = numbers[i],
                      .name = p.name,
                      .ink = look.ink,
                      .shape = look.shape,
                      .dot = !looks.several(),
                      .share = p.share,
                      .left = p.intensity.value > 0 ? number(p.intensity.value) : "–",
                      .right = "",
                      .tip = tips[i]});
    }
    if (!rows[n - 1].right.empty()) rows[n - 1].right += " · ";
    rows[n - 1].right += p.predicted.value > 0 ? number(p.predicted.value / tera) : "–";
    if (p.predicted.value > 0 && p.measured.value > 0) {
      const Look look = looks.of(p);
      rows[n - 1].ratios.push_back({p.predicted / p.measured, p.p5, p.p95, look.ink, look.shape,
                                    looks.several() ? p.gpu : -1});
    }
  }
  return rows;
}

}  // namespace

std::vector<int> point_numbers(const Roofline& f) {
  std::vector<int> out;
  std::vector<std::string> seen;
  for (const Point& p : f.points) {
    const auto at = std::find(seen.begin(), seen.end(), p.name);
    out.push_back(static_cast<int>(at - seen.begin()) + 1);
    if (at == seen.end()) seen.push_back(p.name);
  }
  return out;
}

Scene scene(const Roofline& f, Canvas canvas) {
  Scene s = begin(f.caption, canvas);
  s.layers = layers(f);
  const Looks looks(f);
  const std::vector<int> numbers = point_numbers(f);
  std::vector<int> tips;
  for (std::size_t i = 0; i < f.points.size(); ++i)
    tips.push_back(add_tip(s, point_tip(f, f.points[i], numbers[i])));

  const bool stacked = canvas.narrow();
  const double top = s.height + 4;
  const double rows =
      static_cast<double>(numbers.empty() ? 0 : *std::max_element(numbers.begin(), numbers.end()));
  const double height = stacked ? 330 : std::clamp(26 * rows + 110, 400., 620.);
  const double width = stacked ? s.width - 12 : 0.6 * s.width;
  auto [x, y] = roofline_axes(f, width - 50, height - 64);
  Panel& plot = add_plot(s, {6, top, width, height}, std::move(x), std::move(y));

  Placer placer(plot.box);
  std::vector<std::size_t> order(f.points.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return f.points[a].share > f.points[b].share; });
  for (const Point& p : f.points)
    for (const Throughput t : {p.predicted, p.measured})
      if (p.intensity.value > 0 && t.value > 0)
        placer.block(
            {plot.px({p.intensity.value, t.value / tera}), radius(p.share), radius(p.share), 0});
  for (const auto& t : f.trajectories)
    for (const auto& a : t.at)
      placer.avoid({plot.px({a.intensity.value, a.attained.value / tera}), 4, 4, 0});
  add_roofs(plot, placer, f);

  std::vector<Tags> tags;
  for (std::size_t i = 0; i < f.points.size(); ++i)
    tags.push_back(
        {.tip = tips[i], .key = numbers[i], .gpu = looks.several() ? f.points[i].gpu : -1});
  for (const std::size_t i : order)  // large ones first, small ones stay on top
    if (placed(f.points[i])) add_point(plot, f, f.points[i], looks.of(f.points[i]), tags[i]);
  add_numbers(plot, placer, f, looks, numbers, tags);
  add_trajectories(s, plot, placer, f);

  // Key: beside the plot, or below it on a narrow canvas.
  const Rect area = stacked ? Rect{12, top + height + 10, s.width - 24, 0}
                            : Rect{width + 22, top + 2, s.width - width - 34, 0};
  std::vector<SeriesName> names;
  if (looks.several())
    for (std::size_t i = 0; i < f.gpus.size(); ++i)
      names.push_back({f.gpus[i].name + roofs_of(f.gpus[i]), series(static_cast<int>(i)),
                       shape_of(static_cast<int>(i)), static_cast<int>(i)});
  else
    for (std::size_t i = 0; i < looks.kinds().size(); ++i)
      names.push_back(
          {looks.kinds()[i], series(static_cast<int>(i)), shape_of(static_cast<int>(i)), -1});
  double bottom = add_series_key(add_canvas(s), names, area.x, area.y + 12, area.w) + 10;
  bottom = add_key(s, {area.x, bottom, area.w, 0}, key_rows(f, looks, numbers, tips),
                   {"of step", "FLOP/B", looks.several() ? "TFLOP/s, each" : "TFLOP/s"});
  const bool measured =
      std::any_of(f.points.begin(), f.points.end(), [](auto& p) { return p.measured.value > 0; });
  const auto how = [](const auto& roof) { return roof.how == "measured"; };
  const bool all_measured = std::all_of(f.gpus.begin(), f.gpus.end(), [&](const auto& g) {
    return std::all_of(g.levels.begin(), g.levels.end(), how) &&
           std::all_of(g.peaks.begin(), g.peaks.end(), how);
  });
  std::string legend = fmt::format("roofs: solid {}, dashed datasheet · hollow: predicted · ",
                                   all_measured ? "measured" : "as reached");
  legend += measured ? "solid: measured · area: share of step" : "area: share of step";
  // On a narrow plot the label along the line may have had room for the name alone.
  if (stacked && !looks.several() && !f.gpus.empty())
    legend = f.gpus[0].name + roofs_of(f.gpus[0]) + " · " + legend;
  Panel& page = add_canvas(s);
  for (const std::string& line : wrap(legend, area.w, 10))
    add(page, Text{.at = {area.x, bottom += 14}, .text = line, .size = 10, .ink = Ink::muted});
  finish(s, std::max(bottom + 2, stacked ? 0 : top + height));
  return s;
}

DataTable data_table(const Roofline& f) {
  DataTable t{f.caption.title, {{"#"}, {"op", false}}, {}};
  const bool several = f.gpus.size() > 1;
  if (several) t.columns.push_back({"GPU", false});
  for (const char* c : {"FLOP/B", "predicted, TFLOP/s", "measured, TFLOP/s", "of step"})
    t.columns.push_back({c});
  const std::vector<int> numbers = point_numbers(f);
  for (std::size_t i = 0; i < f.points.size(); ++i) {
    const Point& p = f.points[i];
    std::vector<std::string> row{fmt::format("{}", numbers[i]), p.name};
    if (several) row.push_back(f.gpus[static_cast<std::size_t>(p.gpu)].name);
    row.push_back(p.intensity.value > 0 ? number(p.intensity.value) : "–");
    row.push_back(p.predicted.value > 0 ? number(p.predicted.value / tera) : "–");
    row.push_back(p.measured.value > 0 ? number(p.measured.value / tera) : "–");
    row.push_back(p.share > 0 ? percent(p.share) : "–");
    t.rows.push_back(std::move(row));
  }
  return t;
}

}  // namespace kvroof::reports
