#include "reports/format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace kvroof::reports {
namespace {

/// `significant` digits, no exponent, trailing zeros kept.
std::string digits(double x, int significant) {
  if (x == 0) return "0";
  const int magnitude = static_cast<int>(std::floor(std::log10(std::fabs(x)) + 1e-12)) + 1;
  const int decimals = std::max(0, significant - magnitude);
  std::string s = fmt::format("{:.{}f}", x, decimals);
  // 9.996 rounds to "10.00": one digit too many.
  const double shown = std::fabs(std::stod(s));
  if (decimals > 0 && shown >= std::pow(10, magnitude)) s = fmt::format("{:.{}f}", x, decimals - 1);
  return s;
}

std::string scaled(double x, double base, std::initializer_list<std::string_view> prefixes,
                   std::string_view unit) {
  auto prefix = prefixes.begin();
  while (std::fabs(x) >= base * (1 - 5e-4) && prefix + 1 != prefixes.end()) x /= base, ++prefix;
  return fmt::format("{} {}{}", digits(x, 3), *prefix, unit);
}

std::string decimal(double x, std::string_view unit) {
  return scaled(x, 1000, {"", "k", "M", "G", "T", "P", "E"}, unit);
}

}  // namespace

std::string text(Seconds t) {
  const double s = t.value;
  if (s == 0) return "0 s";
  if (std::fabs(s) >= 0.9995) return digits(s, 3) + " s";
  if (std::fabs(s) >= 0.9995e-3) return digits(s / milli, 3) + " ms";
  if (std::fabs(s) >= 0.9995e-6) return digits(s / micro, 3) + " us";
  return digits(s / nano, 3) + " ns";
}
std::string text(Bytes b) { return decimal(b.value, "B"); }
std::string binary(Bytes b) {
  double x = b.value;
  std::string_view unit = "B";
  for (std::string_view next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (std::fabs(x) < 1023.95) break;
    x /= kibi, unit = next;
  }
  return unit == "B" ? fmt::format("{:.0f} B", x) : fmt::format("{:.1f} {}", x, unit);
}
std::string text(Flops f) { return decimal(f.value, "FLOP"); }
std::string text(Throughput t) { return decimal(t.value, "FLOP/s"); }
std::string text(Bandwidth b) { return decimal(b.value, "B/s"); }
std::string text(Intensity i) { return digits(i.value, 3); }
std::string text(Clock c) { return fmt::format("{:.0f} MHz", c.value / mega); }

std::string integer(double x) {
  std::string s = fmt::format("{:.0f}", std::fabs(x));
  for (int i = static_cast<int>(s.size()) - 3; i > 0; i -= 3)
    s.insert(static_cast<std::size_t>(i), ",");
  return (x <= -0.5 ? "-" : "") + s;
}
std::string number(double x, int significant) {
  return std::fabs(x) >= 1000 ? integer(x) : digits(x, significant);
}
std::string percent(double share) { return fmt::format("{:.0f} %", 100 * share); }

std::string bar(double share, int width, bool unicode) {
  const double cells = std::clamp(share, 0.0, 1.0) * width;
  if (!unicode) return std::string(static_cast<std::size_t>(std::lround(cells)), '#');
  constexpr std::array<std::string_view, 8> eighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  int parts = static_cast<int>(std::lround(cells * 8));
  if (parts == 0 && share > 0) parts = 1;
  std::string out;
  for (int i = 0; i < parts / 8; ++i) out += "█";
  return out += eighths[static_cast<std::size_t>(parts % 8)];
}

std::size_t display_width(const std::string& s) {
  return static_cast<std::size_t>(
      std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}
std::string pad_left(const std::string& s, std::size_t width) {
  const std::size_t w = display_width(s);
  return w < width ? std::string(width - w, ' ') + s : s;
}
std::string pad_right(const std::string& s, std::size_t width) {
  const std::size_t w = display_width(s);
  return w < width ? s + std::string(width - w, ' ') : s;
}

}  // namespace kvroof::reports
