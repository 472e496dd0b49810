#include "reports/terminal.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace kvroof::reports {

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
