#include "reports/axes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

constexpr double kGap = 8;  // between neighbouring tick labels, px

std::string plain(double v) {
  if (v != 0 && std::abs(v) < 1e-4) return fmt::format("{:.0e}", v);
  std::string s = number(v, 3);
  if (s.find('.') != std::string::npos) {
    while (s.back() == '0') s.pop_back();
    if (s.back() == '.') s.pop_back();
  }
  return s;
}

double snapped(double v, bool up) {  // to 1, 2 or 5 times a power of ten
  const double decade = std::pow(10., std::floor(std::log10(v) + 1e-12));
  const double steps[] = {1, 2, 5, 10};
  double best = up ? 10 * decade : decade;
  for (const double s : steps) {
    if (up && s * decade >= v * (1 - 1e-9)) return s * decade;
    if (!up && s * decade <= v * (1 + 1e-9)) best = s * decade;
  }
  return best;
}

}  // namespace

double Axis::at(double v) const {
  return scale == Scale::log ? std::log(v / lo) / std::log(hi / lo) : (v - lo) / (hi - lo);
}

Axis linear_axis(double lo, double hi, std::string title, int intervals) {
  if (!(hi > lo)) hi = lo + (lo == 0 ? 1 : std::abs(lo));
  const double rough = (hi - lo) / intervals;
  const double decade = std::pow(10., std::floor(std::log10(rough)));
  double step = 10 * decade;
  for (const double s : {5., 2.5, 2., 1.})
    if (s * decade >= rough * (1 - 1e-9)) step = s * decade;
  Axis a{std::floor(lo / step + 1e-9) * step,
         std::ceil(hi / step - 1e-9) * step,
         Scale::linear,
         std::move(title),
         {},
         true};
  const int n = static_cast<int>(std::lround((a.hi - a.lo) / step));
  for (int i = 0; i <= n; ++i) a.ticks.push_back({a.lo + i * step, plain(a.lo + i * step)});
  return a;
}

Axis log_axis(double lo, double hi, std::string title, double px) {
  Axis a{snapped(lo, false), snapped(hi, true), Scale::log, std::move(title), {}, true};
  if (!(a.hi > a.lo)) a.hi = 10 * a.lo;
  const double decade_px = px / std::log10(a.hi / a.lo);
  const double label = 30;
  // Label 1-2-5 where a decade has room for three labels, only 1 (or every other decade) otherwise.
  const bool dense = decade_px * 0.3 > label + kGap;
  const int every = std::max(1, static_cast<int>(std::ceil((label + kGap) / decade_px)));
  const int first = static_cast<int>(std::floor(std::log10(a.lo) + 1e-9));
  const int last = static_cast<int>(std::ceil(std::log10(a.hi) - 1e-9));
  for (int e = first; e <= last; ++e)
    for (const int m : {1, 2, 5}) {
      const double v = m * std::pow(10., e);
      if (v < a.lo * (1 - 1e-9) || v > a.hi * (1 + 1e-9)) continue;
      const bool labelled = m == 1 ? (e - first) % every == 0 : dense;
      a.ticks.push_back({v, labelled ? plain(v) : ""});
    }
  return a;
}

Axis token_axis(double lo, double hi, std::string title, double px) {
  const int first = static_cast<int>(std::floor(std::log2(lo) + 1e-9));
  const int last = std::max(first + 1, static_cast<int>(std::ceil(std::log2(hi) - 1e-9)));
  Axis a{std::exp2(first), std::exp2(last), Scale::log, std::move(title), {}, true};
  const int every = std::max(1, static_cast<int>(std::ceil(34 * (last - first) / px)));
  for (int e = first; e <= last; ++e)
    a.ticks.push_back({std::exp2(e), (last - e) % every == 0 ? text(Tokens{std::exp2(e)}) : ""});
  return a;
}

std::vector<Text> axis_texts(const Panel& p) {
  std::vector<Text> out;
  if (!p.framed) return out;
  for (const Tick& t : p.x.ticks) {
    const Vec at = p.px({t.at, p.y.lo});
    if (!t.label.empty())
      out.push_back(
          {{at.x, p.box.bottom() + 15}, {}, t.label, Anchor::middle, kTickSize, false, Ink::muted});
  }
  for (const Tick& t : p.y.ticks) {
    const Vec at = p.px({p.x.lo, t.at});
    if (!t.label.empty())
      out.push_back(
          {{p.box.x - 6, at.y + 4}, {}, t.label, Anchor::end, kTickSize, false, Ink::muted});
  }
  if (!p.x.title.empty())
    out.push_back({{p.box.x + p.box.w / 2, p.box.bottom() + 32},
                   {},
                   p.x.title,
                   Anchor::middle,
                   kAxisTitleSize});
  if (!p.y.title.empty()) {
    double widest = 0;
    for (const Tick& t : p.y.ticks) widest = std::max(widest, text_width(t.label, kTickSize));
    out.push_back(
        {{p.box.x - widest - 6, p.box.y - 10}, {}, p.y.title, Anchor::start, kAxisTitleSize});
  }
  return out;
}

}  // namespace kvroof::reports
