// What a terminal needs: bars, display width, padding.
#pragma once
#include <string>

namespace kvroof::reports {

/// A bar of `width` cells for share in [0, 1], in eighths of a cell; '#' where the terminal is not
/// UTF-8. A share above zero always shows.
std::string bar(double share, int width, bool unicode);

/// Columns a terminal shows for a UTF-8 string, and padding by that width.
std::size_t display_width(const std::string& s);
std::string pad_left(const std::string& s, std::size_t width);  // right-aligned
std::string pad_right(const std::string& s, std::size_t width);

}  // namespace kvroof::reports
