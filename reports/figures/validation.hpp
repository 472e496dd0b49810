// Measured against predicted, every row a dot: the page that shows how far to trust the model.
#pragma once
#include <string>
#include <vector>

#include "model/units.hpp"
#include "reports/figures/details.hpp"

namespace kvroof::reports {

struct Validation {
  struct At {
    double predicted = 0, measured = 0;  // in `unit`
    std::string name;
    Details details;
  };
  struct Group {
    std::string name;  // "H200 · decode attention"
    std::vector<At> at;
  };
  Caption caption;
  std::string quantity, unit;  // "TPOT", "ms"
  std::vector<Group> groups;
};

/// Of e = predicted / measured - 1 over rows with both positive:
///   mape = mean |e|   median_ape = median |e|   bias = mean e   within_10 = share of |e| <= 0.1
struct Accuracy {
  std::size_t rows = 0;
  double mape = 0, median_ape = 0, bias = 0, within_10 = 0, within_20 = 0;
};
Accuracy accuracy(const std::vector<Validation::At>& at);

/// Over 3,000 rows only one dot is drawn per group and cell of 3 px; the statistics count all rows.
Scene scene(const Validation& f, Canvas canvas = {});
DataTable data_table(const Validation& f);  // one row a group, and all

}  // namespace kvroof::reports
