// The roofline in a terminal: roofs in braille dots (2 x 4 a character), ops as their numbers.
#pragma once
#include <string>

#include "reports/figures/roofline.hpp"

namespace kvroof::reports {

struct Terminal {
  int columns = 60, rows = 15;  // of the plot, axis labels come on top
  bool utf8 = true;             // false: '*' instead of braille
};

std::string terminal_roofline(const Roofline& f, Terminal t = {});

}  // namespace kvroof::reports
