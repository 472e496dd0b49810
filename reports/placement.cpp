#include "reports/placement.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "reports/axes.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

constexpr double kAscent = 0.76, kDescent = 0.24;  // of the size: digits, capitals, g and y

struct Frame {
  Vec u, v;  // unit vectors along width and height
};
Frame frame(const Box& b) {
  const double a = b.angle * std::numbers::pi / 180;
  return {{std::cos(a), std::sin(a)}, {-std::sin(a), std::cos(a)}};
}
double dot(Vec a, Vec b) { return a.x * b.x + a.y * b.y; }
double reach(const Box& b, const Frame& f, Vec axis) {
  return b.half_w * std::abs(dot(f.u, axis)) + b.half_h * std::abs(dot(f.v, axis));
}

}  // namespace

Box box(Rect r) { return {{r.x + r.w / 2, r.y + r.h / 2}, r.w / 2, r.h / 2, 0}; }

Box text_box(const Panel& p, const Text& t) {
  const Vec at = p.px(t.at);
  const double w = text_width(t.text, t.size, t.bold);
  const double along = t.anchor == Anchor::start ? w / 2 : t.anchor == Anchor::end ? -w / 2 : 0;
  const double up = (kDescent - kAscent) / 2 * t.size;  // centre of the box, from the baseline
  Box b{{}, w / 2, (kAscent + kDescent) / 2 * t.size, t.angle};
  const Frame f = frame(b);
  b.centre = {at.x + t.shift.x + along * f.u.x + up * f.v.x,
              at.y + t.shift.y + along * f.u.y + up * f.v.y};
  return b;
}

bool intersect(const Box& a, const Box& b) {
  const Vec d{b.centre.x - a.centre.x, b.centre.y - a.centre.y};
  if (const double r = std::hypot(a.half_w, a.half_h) + std::hypot(b.half_w, b.half_h);
      dot(d, d) >= r * r)
    return false;
  const Frame fa = frame(a), fb = frame(b);
  for (const Vec axis : {fa.u, fa.v, fb.u, fb.v})
    if (std::abs(dot(d, axis)) >= reach(a, fa, axis) + reach(b, fb, axis) - 1e-6) return false;
  return true;
}

bool inside(const Box& b, Rect r) {
  const Frame f = frame(b);
  const double w = reach(b, f, {1, 0}), h = reach(b, f, {0, 1});
  return b.centre.x - w >= r.x && b.centre.x + w <= r.right() && b.centre.y - h >= r.y &&
         b.centre.y + h <= r.bottom();
}

std::vector<LabelBox> label_boxes(const Scene& s) {
  std::vector<LabelBox> out;
  for (const Panel& p : s.panels) {
    const Panel page{.framed = false};
    for (const Text& t : axis_texts(p)) out.push_back({t.text, text_box(page, t), {}});
    for (const Mark& m : p.marks)
      if (const auto* t = std::get_if<Text>(&m.what); t && !t->text.empty())
        out.push_back({t->text, text_box(p, *t), m.tags});
  }
  return out;
}

void Placer::avoid_line(Vec from, Vec to) {
  const double dx = to.x - from.x, dy = to.y - from.y;
  avoid({{(from.x + to.x) / 2, (from.y + to.y) / 2},
         std::hypot(dx, dy) / 2,
         1,
         std::atan2(dy, dx) * 180 / std::numbers::pi});
}

std::optional<std::size_t> Placer::place(const std::vector<Box>& candidates, bool cross_lines) {
  const auto meets = [](const std::vector<Box>& all, const Box& b) {
    return std::count_if(all.begin(), all.end(), [&](const Box& o) { return intersect(b, o); });
  };
  std::optional<std::size_t> best;
  auto cost = cross_lines ? std::numeric_limits<std::ptrdiff_t>::max() : std::ptrdiff_t{1};
  for (std::size_t i = 0; i < candidates.size() && cost > 0; ++i) {
    if (!inside(candidates[i], bounds_)) continue;
    if (const auto c = meets(soft_, candidates[i]); c < cost && meets(hard_, candidates[i]) == 0)
      best = i, cost = c;
  }
  if (best) block(candidates[*best]);
  return best;
}

}  // namespace kvroof::reports
