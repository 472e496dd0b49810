// What the memory of each GPU holds, against its capacity and the engine's limit.
#pragma once
#include <string>
#include <vector>

#include "model/units.hpp"
#include "reports/figures/details.hpp"

namespace kvroof::reports {

struct MemoryMap {
  struct Part {
    std::string name;  // "weights", "KV cache", "activations": the same name, the same colour
    Bytes bytes;
    Details details;
  };
  struct Row {
    std::string name;  // "H200 141 GB, TP1"
    Bytes capacity;    // as the driver reports it
    Bytes limit;       // what the engine may use of it; 0: no limit drawn
    std::vector<Part> parts;
  };
  Caption caption;
  std::vector<Row> rows;
};
Scene scene(const MemoryMap& f, Canvas canvas = {});
DataTable data_table(const MemoryMap& f);

}  // namespace kvroof::reports
