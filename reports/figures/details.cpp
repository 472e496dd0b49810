#include "reports/figures/details.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "reports/text.hpp"

namespace kvroof::reports {

Tip tip(std::string name, std::vector<std::pair<std::string, std::string>> rows, const Details& d) {
  rows.insert(rows.end(), d.rows.begin(), d.rows.end());
  return {std::move(name), std::move(rows), d.derivation};
}

std::string ellipsize(std::string_view s, double width, double size) {
  if (text_width(s, size) <= width) return std::string(s);
  std::string cut(s);
  while (!cut.empty() && text_width(cut + "…", size) > width) {
    while (!cut.empty() && (static_cast<unsigned char>(cut.back()) & 0xC0) == 0x80) cut.pop_back();
    if (!cut.empty()) cut.pop_back();
  }
  return cut + "…";
}

double add_series_key(Panel& canvas, const std::vector<SeriesName>& names, double x, double y,
                      double width) {
  double at = x;
  for (const SeriesName& n : names) {
    const double w = 16 + text_width(n.name, 11) + 16;
    if (at > x && at + w - 16 > x + width) at = x, y += 17;
    const Tags tags{.gpu = n.gpu};
    add(canvas, Dot{{at + 5, y - 4}, 4.2, n.shape, {.fill = n.ink}}, tags);
    add(canvas, Text{.at = {at + 14, y}, .text = ellipsize(n.name, width - 16), .ink = n.ink},
        tags);
    at += w;
  }
  return y;
}

const std::vector<Spot>& spots_around() {
  static const std::vector<Spot> spots = [] {
    std::vector<Spot> out;
    for (const double d : {4., 12., 22., 34., 48., 64., 84.})
      for (const double degrees :
           {0., 180., 45., 315., 135., 225., 90., 270., 20., 340., 160., 200.}) {
        const double a = degrees * std::numbers::pi / 180;
        const double x = std::cos(a), y = -std::sin(a);
        const Anchor anchor = x > 0.3 ? Anchor::start : x < -0.3 ? Anchor::end : Anchor::middle;
        out.push_back({{d * x, d * y}, anchor, d});
      }
    return out;
  }();
  return spots;
}

std::optional<Text> find_spot(Panel& p, Placer& placer, const Text& t, const Tags& tags,
                              double clear) {
  std::vector<Box> candidates;
  std::vector<Text> texts;
  for (const Spot& s : spots_around()) {
    Text c = t;
    const double k = (clear + s.distance) / s.distance;
    // From the point to the middle of the text's height, which is 0.26 of the size above its base.
    c.shift = {s.shift.x * k, s.shift.y * k + 0.36 * t.size};
    if (s.anchor == Anchor::middle) c.shift.y += s.shift.y < 0 ? -0.4 * t.size : 0.4 * t.size;
    c.anchor = s.anchor;
    candidates.push_back(text_box(p, c));
    texts.push_back(c);
  }
  const auto chosen = placer.place(candidates);
  if (!chosen) return std::nullopt;
  const Spot& s = spots_around()[*chosen];
  const Text& c = texts[*chosen];
  if (s.distance > 8) {
    const Vec at = p.px(t.at);
    const double from = clear / s.distance, to = (clear + s.distance - 2) / s.distance;
    add(p,
        Path{{px_to_data(p, {at.x + s.shift.x * from, at.y + s.shift.y * from}),
              px_to_data(p, {at.x + s.shift.x * to, at.y + s.shift.y * to})},
             false,
             {.stroke = Ink::muted, .width = 0.8}},
        tags);
  }
  return c;
}

bool add_label(Panel& p, Placer& placer, Text t, Tags tags, double clear) {
  const auto spot = find_spot(p, placer, t, tags, clear);
  if (spot) add(p, *spot, std::move(tags));
  return spot.has_value();
}

bool add_label_along(Panel& p, Placer& placer, Text t, Vec from, Vec to,
                     const std::vector<double>& offsets, const std::vector<double>& positions,
                     Tags tags, bool cross_lines) {
  const double angle = std::atan2(to.y - from.y, to.x - from.x);
  std::vector<Box> candidates;
  std::vector<Text> texts;
  for (const double offset : offsets)
    for (const double along : positions) {
      Text c = t;
      c.at = px_to_data(p, {from.x + along * (to.x - from.x), from.y + along * (to.y - from.y)});
      c.shift = {-offset * std::sin(angle), offset * std::cos(angle)};
      c.angle = angle * 180 / std::numbers::pi;
      c.anchor = Anchor::middle;
      candidates.push_back(text_box(p, c));
      texts.push_back(c);
    }
  const auto chosen = placer.place(candidates, cross_lines);
  if (chosen) add(p, texts[*chosen], std::move(tags));
  return chosen.has_value();
}

Vec px_to_data(const Panel& p, Vec px) {
  if (!p.framed) return {px.x - p.box.x, px.y - p.box.y};
  const auto back = [](const Axis& a, double f) {
    return a.scale == Scale::log ? a.lo * std::pow(a.hi / a.lo, f) : a.lo + f * (a.hi - a.lo);
  };
  return {back(p.x, (px.x - p.box.x) / p.box.w), back(p.y, (p.box.bottom() - px.y) / p.box.h)};
}

}  // namespace kvroof::reports
