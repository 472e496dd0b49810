#include "reports/braille.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "reports/figures/roofline_parts.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

class Grid {
 public:
  explicit Grid(Terminal t) : t_(t), dots_(cells()), marks_(cells()) {}

  /// x, y in 0..1 from the lower left corner.
  void dot(double x, double y) {
    const int px = static_cast<int>(std::lround(x * (2 * t_.columns - 1)));
    const int py = static_cast<int>(std::lround((1 - y) * (4 * t_.rows - 1)));
    if (px < 0 || py < 0 || px >= 2 * t_.columns || py >= 4 * t_.rows) return;
    // Bit of the dot in U+2800 .. U+28FF, by row and column of the cell.
    constexpr std::uint8_t bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    dots_[at(px / 2, py / 4)] |= bit[py % 4][px % 2];
  }

  /// A number in the nearest free cells to the right: ops at one place stand side by side.
  void mark(double x, double y, const std::string& s) {
    const int row = std::clamp(static_cast<int>((1 - y) * t_.rows), 0, t_.rows - 1);
    const int n = static_cast<int>(s.size());
    for (int c = std::clamp(static_cast<int>(x * t_.columns), 0, t_.columns - n);
         c + n <= t_.columns; ++c) {
      bool free = true;
      // Two different numbers never touch: "1" and "2" must not read as 12.
      for (int k = -1; k <= n; ++k)
        if (c + k >= 0 && c + k < t_.columns) free &= marks_[at(c + k, row)] == 0;
      if (!free) continue;
      for (int k = 0; k < n; ++k) marks_[at(c + k, row)] = s[static_cast<std::size_t>(k)];
      return;
    }
  }

  std::string row(int r) const {
    std::string out;
    for (int c = 0; c < t_.columns; ++c) {
      const std::uint8_t d = dots_[at(c, r)];
      if (const char m = marks_[at(c, r)]) out += m;
      else if (d == 0) out += ' ';
      else if (!t_.utf8) out += '*';
      else {  // U+2800 + d
        out += '\xE2';
        out += static_cast<char>(0xA0 | (d >> 6));
        out += static_cast<char>(0x80 | (d & 0x3F));
      }
    }
    while (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
  }

 private:
  std::size_t cells() const { return static_cast<std::size_t>(t_.columns * t_.rows); }
  std::size_t at(int c, int r) const { return static_cast<std::size_t>(r * t_.columns + c); }

  Terminal t_;
  std::vector<std::uint8_t> dots_;
  std::vector<char> marks_;
};

}  // namespace

std::string terminal_roofline(const Roofline& f, Terminal t) {
  const auto [x, y] = roofline_axes(f, 8. * t.columns, 16. * t.rows);
  Grid grid(t);
  for (const auto& g : f.gpus) {
    if (g.levels.empty() || g.peaks.empty()) continue;
    const double rate = usable(g.levels[0]).value / tera, peak = usable(g.peaks[0]).value / tera;
    for (int i = 0; i < 2 * t.columns; ++i) {
      const double across = static_cast<double>(i) / (2 * t.columns - 1);
      const double intensity = x.lo * std::pow(x.hi / x.lo, across);
      grid.dot(across, y.at(std::min(rate * intensity, peak)));
    }
  }
  const std::vector<int> numbers = point_numbers(f);
  for (std::size_t i = 0; i < f.points.size(); ++i) {
    const auto& p = f.points[i];
    const Throughput attained = p.measured.value > 0 ? p.measured : p.predicted;
    if (p.intensity.value > 0 && attained.value > 0)
      grid.mark(x.at(p.intensity.value), y.at(attained.value / tera),
                fmt::format("{}", numbers[i]));
  }

  std::string out = f.caption.title + "\n" + y.title + "\n";
  std::vector<std::string> labels(static_cast<std::size_t>(t.rows));
  for (const Tick& tick : y.ticks)
    if (!tick.label.empty()) {
      const int r = std::clamp(static_cast<int>((1 - y.at(tick.at)) * t.rows), 0, t.rows - 1);
      labels[static_cast<std::size_t>(r)] = tick.label;
    }
  const char* bar = t.utf8 ? "┤" : "|";
  for (int r = 0; r < t.rows; ++r)
    out += fmt::format("{:>6} {}{}\n", labels[static_cast<std::size_t>(r)], bar, grid.row(r));
  std::string axis(static_cast<std::size_t>(t.columns) + 8, ' ');
  std::size_t end = 0;
  for (const Tick& tick : x.ticks) {
    const auto at = 8 + static_cast<std::size_t>(std::lround(x.at(tick.at) * (t.columns - 1)));
    const std::size_t half = tick.label.size() / 2;
    if (tick.label.empty() || at - half < end || at - half + tick.label.size() > axis.size())
      continue;
    axis.replace(at - half, tick.label.size(), tick.label);
    end = at - half + tick.label.size() + 1;
  }
  axis.resize(axis.find_last_not_of(' ') + 1);
  out += axis + "\n        " + x.title + "\n";
  int next = 1;
  for (std::size_t i = 0; i < f.points.size(); ++i)
    if (numbers[i] == next)
      out += fmt::format("{}{} {}", next++ == 1 ? "" : "  ", numbers[i], f.points[i].name);
  return out + "\n";
}

}  // namespace kvroof::reports
