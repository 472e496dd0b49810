// One attention kernel or several beside one another on one GPU: counts, intensity, times.
#pragma once
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "model/scenario.hpp"
#include "model/time.hpp"

namespace kvroof::reports {

struct KernelRow {
  KernelCall call;
  Op op;
  OpTime time;
};

struct KernelReport {
  std::string name;
  Machine machine;
  std::vector<KernelRow> rows;
};

/// format: table, csv or md
void print(std::ostream& out, const KernelReport& report, const std::string& format);
/// results.ops[] with the keys of `kvroof run`, phase "kernel".
nlohmann::ordered_json to_json(const KernelReport& report);

}  // namespace kvroof::reports
