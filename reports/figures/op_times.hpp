// Time of each op of a step: speed of light, expected, measured.
#pragma once
#include <string>
#include <vector>

#include "model/units.hpp"
#include "reports/figures/details.hpp"

namespace kvroof::reports {

struct OpTimes {
  struct Row {
    std::string name;
    Seconds floor, expected, measured;  // of all its launches in the step; measured 0: unknown
    std::string bound;                  // "HBM", "BF16 tensor", "latency"
    Details details;
  };
  Caption caption;
  std::vector<Row> rows;
};
Scene scene(const OpTimes& f, Canvas canvas = {});
DataTable data_table(const OpTimes& f);

/// Where the time goes: from the floor to what is expected, one cause a row. Floor plus the deltas
/// is the expectation; scene() asserts it to 1e-6 relative.
struct Waterfall {
  struct Step {
    std::string name;  // "HBM at 89 % of datasheet", "launch gaps"
    Seconds delta;
    Details details;
  };
  Caption caption;
  Seconds floor, expected;
  std::vector<Step> steps;
  Seconds measured;  // 0: unknown
};
Scene scene(const Waterfall& f, Canvas canvas = {});
DataTable data_table(const Waterfall& f);

}  // namespace kvroof::reports
