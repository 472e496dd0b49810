// Inside of the curve figures: lines with dots, names at their ends, levels across.
#pragma once
#include "reports/figures/details.hpp"

namespace kvroof::reports {

struct XyLine {
  std::string name;  // at its end if there is room, else in a key above
  int look = 0;      // colour and shape
  std::vector<Vec> at;
  std::vector<int> tips;            // one a point, or none
  std::vector<std::string> labels;  // one a point, or none; drawn where there is room
  std::vector<Vec> faint;           // points beside the line
  std::vector<int> faint_tips;
  Dash dash = Dash::solid;
  bool dots = true;
};
struct XyLevel {
  std::string name;
  double y = 0;
};
struct XyPlot {
  Axis x, y;
  std::vector<XyLine> lines;
  std::vector<XyLevel> levels;
  std::vector<std::pair<Vec, int>> crossings;  // emphasised points with tips
  bool key = true;                             // name the lines
  bool names_at_ends = true;                   // if there is room; lines that end far inside say no
};

/// Returns the bottom of what was drawn; the plot itself is `height` px tall.
double add_xy(Scene& s, Rect area, double height, XyPlot plot);

/// Log if the values span more than a factor of 20, else linear from zero.
Axis value_axis(double lo, double hi, std::string title, double px);

}  // namespace kvroof::reports
