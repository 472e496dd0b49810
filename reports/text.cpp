#include "reports/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace kvroof::reports {
namespace {

struct Prefix {
  double scale;
  const char* name;
};

/// The largest prefix that leaves at least one unit; the first of the list for zero.
template <std::size_t N>
std::string scaled(double v, const Prefix (&prefixes)[N], std::string_view unit) {
  const Prefix* best = &prefixes[0];
  for (const Prefix& p : prefixes)
    if (std::abs(v) >= p.scale * 0.9995) best = &p;
  return fmt::format("{} {}{}", number(v / best->scale), best->name, unit);
}

constexpr Prefix kDecimal[] = {{1, ""},     {kilo, "k"}, {mega, "M"},
                               {giga, "G"}, {tera, "T"}, {peta, "P"}};
constexpr Prefix kBinary[] = {{1, ""}, {kibi, "Ki"}, {mebi, "Mi"}, {gibi, "Gi"}, {tebi, "Ti"}};
constexpr Prefix kTime[] = {{nano, "n"}, {micro, "µ"}, {milli, "m"}, {1, ""}};

// Advance widths in 1/1000 em of DejaVu Sans and DejaVu Sans Bold, U+0020 to U+007E.
constexpr std::int16_t kRegular[95] = {
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361,  318, 337, 636, 636, 636,
    636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632,
    575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635,  611, 732, 684, 989, 685,
    611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352,  635, 634, 278, 278, 579,
    278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592,  525, 636, 337, 636, 838};
constexpr std::int16_t kBold[95] = {
    348,  456, 521, 838, 696, 1002, 872, 306,  457, 457, 523, 838, 380, 415,  380, 365,
    696,  696, 696, 696, 696, 696,  696, 696,  696, 696, 400, 400, 838, 838,  838, 580,
    1000, 774, 762, 734, 830, 683,  683, 821,  837, 372, 372, 775, 637, 995,  837, 850,
    733,  850, 770, 720, 682, 812,  774, 1103, 771, 724, 725, 457, 365, 457,  838, 500,
    500,  675, 716, 593, 716, 678,  435, 716,  712, 343, 343, 665, 343, 1042, 712, 687,
    716,  716, 493, 595, 478, 712,  652, 924,  645, 652, 582, 712, 365, 712,  838};

int glyph_width(char32_t c, bool bold) {
  if (c >= 0x20 && c < 0x7F) return (bold ? kBold : kRegular)[c - 0x20];
  switch (c) {
    case U'·':
      return bold ? 380 : 318;
    case U'–':
      return 500;
    case U'²':
      return 438;
    case U'µ':
      return bold ? 736 : 636;
    case U'●':
    case U'■':
      return 945;
    case U'…':
      return 1000;
    default:
      return 838;  // mathematical signs and arrows; no letter of DejaVu Sans but M, W is wider
  }
}

/// Decodes one code point and advances; a malformed byte counts as one glyph.
char32_t next(std::string_view s, std::size_t& i) {
  const auto lead = static_cast<unsigned char>(s[i++]);
  const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
  char32_t c = more == 0 ? lead : static_cast<char32_t>(lead & (0x3F >> more));
  for (int k = 0; k < more && i < s.size(); ++k)
    c = (c << 6) | (static_cast<unsigned char>(s[i++]) & 0x3F);
  return c;
}

}  // namespace

std::string number(double v, int digits) {
  if (!std::isfinite(v)) return "–";
  if (v == 0) return "0";
  int decimals = std::max(0, digits - 1 - static_cast<int>(std::floor(std::log10(std::abs(v)))));
  decimals = std::min(decimals, 12);
  std::string s = fmt::format("{:.{}f}", v, decimals);
  // 9.996 at three digits rounds up to 10.00: one digit too many.
  if (decimals > 0 && std::round(std::abs(v) * std::pow(10., decimals)) >= std::pow(10., digits))
    s = fmt::format("{:.{}f}", v, decimals - 1);
  const std::size_t dot = std::min(s.find('.'), s.size());
  const std::size_t first = s[0] == '-' ? 1 : 0;
  for (std::size_t k = dot; k > first + 3; k -= 3) s.insert(k - 3, 1, ',');
  return s;
}

std::string coordinate(double v) {
  std::string s = fmt::format("{:.1f}", v);
  if (s.ends_with(".0")) s.resize(s.size() - 2);
  return s == "-0" ? "0" : s;
}

std::string text(Seconds s) { return scaled(s.value, kTime, "s"); }
std::string text(Bytes b) { return scaled(b.value, kBinary, "B"); }
std::string text(Bandwidth b) { return scaled(b.value, kDecimal, "B/s"); }
std::string text(Throughput t) { return scaled(t.value, kDecimal, "FLOP/s"); }
std::string text(Intensity i) { return number(i.value) + " FLOP/B"; }

std::string text(Tokens t) {
  const double v = t.value;
  if (v >= mebi && std::fmod(v, mebi) == 0) return count(v / mebi) + "M";
  if (v >= kibi && std::fmod(v, kibi) == 0) return count(v / kibi) + "K";
  return count(v);
}

std::string count(double n) { return number(std::round(n), 1); }

std::string percent(double fraction) {
  const double p = 100 * fraction;
  return std::abs(p) >= 9.5 ? fmt::format("{:.0f} %", p) : fmt::format("{:.1f} %", p);
}

std::string xml_escape(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (const char c : s) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:  // control characters are not XML
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') out += c;
    }
  return out;
}

std::string json_string(std::string_view s) {
  std::string out = "\"";
  for (std::size_t i = 0; i < s.size(); ++i) {
    const auto c = static_cast<unsigned char>(s[i]);
    if (c == '"' || c == '\\') (out += '\\') += s[i];
    else if (c == '\n') out += "\\n";
    else if (c < 0x20) out += fmt::format("\\u{:04x}", c);
    else if (c == '<') out += "\\u003c";  // ends no <script>, opens no comment
    else out += s[i];
  }
  return out += '"';
}

std::string json_number(double v) { return std::isfinite(v) ? fmt::format("{}", v) : "null"; }

double text_width(std::string_view utf8, double size, bool bold) {
  double w = 0;
  for (std::size_t i = 0; i < utf8.size();) w += glyph_width(next(utf8, i), bold);
  return w * size / 1000;
}

std::vector<std::string> wrap(std::string_view utf8, double width, double size, bool bold) {
  std::vector<std::string> lines;
  std::string line;
  for (std::size_t begin = 0; begin <= utf8.size();) {
    const std::size_t end = std::min(utf8.find(' ', begin), utf8.size());
    const std::string_view word = utf8.substr(begin, end - begin);
    begin = end + 1;
    if (word.empty()) continue;
    std::string longer = line.empty() ? std::string(word) : fmt::format("{} {}", line, word);
    if (!line.empty() && text_width(longer, size, bold) > width) {
      lines.push_back(std::move(line));
      line = std::string(word);
    } else {
      line = std::move(longer);
    }
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

}  // namespace kvroof::reports
