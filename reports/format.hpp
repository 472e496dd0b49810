// Numbers for people: prefixes are chosen here and nowhere else on the way out.
#pragma once
#include <string>

#include "model/units.hpp"

namespace kvroof::reports {

/// Three significant digits with the prefix that fits: "8.39 ms", "1.18 s", "12.3 us", "0 s".
std::string text(Seconds t);
/// Decimal, for traffic: "9.14 GB", "16.8 MB", "640 B".
std::string text(Bytes b);
/// Binary, for capacity: "15.0 GiB", "128.0 KiB".
std::string binary(Bytes b);
std::string text(Flops f);       // "36.5 GFLOP"
std::string text(Throughput t);  // "989 TFLOP/s"
std::string text(Bandwidth b);   // "3.35 TB/s"
std::string text(Intensity i);   // "21.3"
std::string text(Clock c);       // "1830 MHz"
/// Three significant digits, thousands separated: "462,176", "0.291".
std::string number(double x, int significant = 3);
/// Whole number, thousands separated.
std::string integer(double x);
std::string percent(double share);  // "62 %"

/// A bar of `width` cells for share in [0, 1], in eighths of a cell; '#' where the terminal is not
/// UTF-8.
std::string bar(double share, int width, bool unicode);

/// Columns a terminal shows for a UTF-8 string, and padding by that width.
std::size_t display_width(const std::string& s);
std::string pad_left(const std::string& s, std::size_t width);  // right-aligned
std::string pad_right(const std::string& s, std::size_t width);

}  // namespace kvroof::reports
