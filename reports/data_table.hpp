// The numbers of a figure as rows of text: what the page shows beside it and readers copy.
#pragma once
#include <string>
#include <vector>

namespace kvroof::reports {

struct DataTable {
  struct Column {
    std::string name;  // unit included: "FLOP/B", "time, ms"
    bool numeric = true;
  };
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
};

}  // namespace kvroof::reports
