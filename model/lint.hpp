// Is a measurement file physically possible? Every row's least work against datasheet peaks.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "model/csv.hpp"

namespace kvroof {

struct Finding {
  int line = 0;
  bool malformed = false;  // otherwise: faster than the speed of light
  double ratio = 0;        // floor / measured; above 1 is impossible
  std::string what;        // one sentence
};

struct LintReport {
  std::string kind;  // which table it was taken for
  int rows = 0, checked = 0;
  std::map<std::string, int> unchecked;  // reason -> rows
  std::vector<Finding> findings;         // in file order
};

struct LintOptions {
  std::string hardware;     // profile id, for files that do not name their GPU
  double tolerance = 0.01;  // a row may be this much under its floor: clocks, rounding
};

/// Tables understood, by their columns:
///   gemm m, n, k · attention (batch_size, isl, num_heads, num_key_value_heads, head_dim) in
///   prefill and decode · MLA · MoE · all-reduce and all-gather · end-to-end TTFT/TPOT rows · rows
///   with metric, value and unit · any rows with a time and bytes, bytes_read/bytes_written or
///   flops.
/// The floor of a row is the larger of paper FLOPs over the dense datasheet peak and compulsory
/// bytes over the datasheet bandwidth. Repeated runs may find data in L2: sets up to 4x L2 are
/// charged only what L2 cannot hold. UserError when the columns are none of these,
/// listing what was found.
LintReport lint(const Csv& csv, const LintOptions& options);

}  // namespace kvroof
