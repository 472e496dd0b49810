// Text for people: numbers with their prefix, escaping, and how wide a string will be drawn.
// Nothing here depends on a locale: the same value prints as the same bytes everywhere.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "model/units.hpp"

namespace kvroof::reports {

/// `digits` significant digits without an exponent, thousands grouped: 0.0357, 8.39, 989, 462,176.
/// Integer digits are never rounded away.
std::string number(double v, int digits = 3);
/// One decimal at most: SVG coordinates, a tenth of a pixel.
std::string coordinate(double v);

std::string text(Seconds s);     // 12.1 µs, 8.39 ms, 3.43 s
std::string text(Bytes b);       // 512 B, 128 KiB, 56.4 GiB: capacities and footprints are binary
std::string text(Bandwidth b);   // 4.28 TB/s: rates are decimal
std::string text(Throughput t);  // 754 TFLOP/s
std::string text(Intensity i);   // 31.7 FLOP/B
std::string text(Tokens t);      // 4K, 128K, 1M for binary round ones, else 462,176
std::string count(double n);     // 60, 12,288
std::string percent(double fraction);  // 0.36 -> 36 %, 0.004 -> 0.4 %

std::string xml_escape(std::string_view s);
/// A JSON string literal, quotes included; "</" is escaped so that it may stand inside <script>.
std::string json_string(std::string_view s);
/// The shortest text that reads back as the same double; null for what JSON cannot say.
std::string json_number(double v);

/// Advance width in px in DejaVu Sans, wider than the fallbacks of our font list, so that a box of
/// this width holds the text with any of them.
double text_width(std::string_view utf8, double size, bool bold = false);
/// Lines of at most `width` px, broken at spaces; a longer word stands on a line of its own.
std::vector<std::string> wrap(std::string_view utf8, double width, double size, bool bold = false);

}  // namespace kvroof::reports
