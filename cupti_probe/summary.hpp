// One kernel over all its shapes: what is judged as a whole because single shapes scatter.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cupti_probe/judge.hpp"

namespace kvroof::probe {

/// One shape's pair of numbers.
struct Pair {
  double predicted = 0, measured = 0;
  double error() const { return measured / predicted - 1; }
};

/// HBM reads are judged where the working set exceeds L2 (of products: where the operands exceed
/// twice L2), at the 90th percentile of |error|; times by their mean |error|.
class KernelSummary {
 public:
  /// Keeps the check if it is one of the two, and takes its verdict back: the summary gives it.
  /// Reads of a shape that an exception names (known) keep theirs and are not judged again.
  ///   working_set   bytes that the op reads and writes       l2   capacity of this GPU
  Check take(Check check, double working_set, double l2);

  /// One line a quantity: measured holds the error, tolerance its bound; nothing without shapes.
  std::vector<Check> judge(double read_tolerance) const;
  std::size_t reads() const { return reads_.size(); }
  std::size_t times() const { return times_.size(); }

 private:
  std::vector<Pair> reads_, times_;
};

/// Smallest error that at least `share` of the pairs do not exceed; 0 for none.
double error_at(double share, const std::vector<Pair>& pairs);
/// Mean of |error|; 0 for none.
double mean_error(const std::vector<Pair>& pairs);

}  // namespace kvroof::probe
