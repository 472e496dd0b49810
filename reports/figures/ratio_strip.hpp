// Measured over predicted on a linear axis: log-log plots hide a 25 % error, this one shows it.
#pragma once
#include <string>
#include <vector>

#include "model/units.hpp"
#include "reports/figures/details.hpp"

namespace kvroof::reports {

struct RatioStrip {
  struct Row {
    std::string name;
    Seconds predicted, measured;  // measured 0: unknown, the row stays empty
    Seconds p5, p95;              // of the measured time; 0: no spread known
    double share = 0;             // of the step, by predicted time; 0: not shown
    Details details;
  };
  Caption caption;
  std::vector<Row> rows;
};

Scene scene(const RatioStrip& f, Canvas canvas = {});
DataTable data_table(const RatioStrip& f);

/// The same strip as the key of another figure: number, name, share, ratio dots per GPU.
struct KeyRow {
  struct Ratio {
    double median = 0, p5 = 0, p95 = 0;  // measured / predicted time
    Ink ink = Ink::ink;
    Shape shape = Shape::circle;
    int gpu = -1;
  };
  int number = 0;  // 0: none
  std::string name;
  Ink ink = Ink::ink;
  Shape shape = Shape::circle;
  bool dot = true;  // false: the shape says nothing here (several GPUs)
  double share = 0;
  std::string share_text;  // instead of the percentage
  std::vector<Ratio> ratios;
  std::string left, right;  // shown instead of a strip where nothing was measured
  int tip = -1;
};
struct KeyHeads {
  std::string share = "of step", left, right;
};
/// Draws rows below area.y; returns the bottom. The strip appears if any row has a ratio.
double add_key(Scene& s, Rect area, const std::vector<KeyRow>& rows, const KeyHeads& heads);

}  // namespace kvroof::reports
