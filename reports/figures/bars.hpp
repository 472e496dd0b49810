// Rows of horizontal bars on one linear axis: names at the left, numbers at the right.
#pragma once
#include <string>
#include <vector>

#include "reports/figures/details.hpp"

namespace kvroof::reports {

struct BarRow {
  struct Segment {
    double from = 0, to = 0;
    Style style;
    std::string label;  // inside, if it fits
    int tip = -1;       // of this segment; -1: the row's
    double inset = 0;   // px taken off above and below: a bar within a bar
  };
  struct Mark {  // a measured value, a limit
    double at = 0;
    Ink ink = Ink::ink;
    bool line = false;  // a vertical line instead of a diamond
  };
  std::string name;
  std::vector<Segment> segments;
  std::vector<Mark> marks;
  std::vector<std::string> values;  // columns at the right, aligned with heads
  bool bold = false;
  int tip = -1;
};
struct Bars {
  std::vector<BarRow> rows;
  std::vector<std::string> heads;  // of the value columns
  std::string axis_title;
  double max = 0;      // of the axis
  double height = 14;  // of a bar, px
};

/// Returns the bottom. Below 640 px the name stands above its bar instead of beside it.
double add_bars(Scene& s, Rect area, const Bars& b);

}  // namespace kvroof::reports
