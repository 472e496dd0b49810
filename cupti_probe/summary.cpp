#include "cupti_probe/summary.hpp"

#include <algorithm>
#include <cmath>

namespace kvroof::probe {
namespace {

Check bounded(std::string quantity, double error, double tolerance) {
  Check c{.quantity = std::move(quantity), .unit = "1", .measured = error, .tolerance = tolerance};
  c.verdict = error <= tolerance ? Verdict::ok : Verdict::off;
  return c;
}

}  // namespace

double error_at(double share, const std::vector<Pair>& pairs) {
  if (pairs.empty()) return 0;
  std::vector<double> errors;
  for (const Pair& p : pairs) errors.push_back(std::abs(p.error()));
  std::sort(errors.begin(), errors.end());
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(errors.size())));
  return errors[std::max<std::size_t>(rank, 1) - 1];
}

double mean_error(const std::vector<Pair>& pairs) {
  double sum = 0;
  for (const Pair& p : pairs) sum += std::abs(p.error());
  return pairs.empty() ? 0 : sum / static_cast<double>(pairs.size());
}

Check KernelSummary::take(Check check, double working_set, double l2) {
  const bool read = check.quantity == "HBM read", time = check.quantity == "time";
  if ((!read && !time) || !check.ratio()) return check;
  if (read && check.verdict == Verdict::known) return check;
  check.verdict = Verdict::open;
  if (time) times_.push_back({*check.predicted, *check.measured});
  if (read && working_set > l2) reads_.push_back({*check.predicted, *check.measured});
  return check;
}

std::vector<Check> KernelSummary::judge(double read_tolerance) const {
  std::vector<Check> out;
  if (!reads_.empty())
    out.push_back(bounded("HBM read, p90 error", error_at(0.9, reads_), read_tolerance));
  if (!times_.empty())
    out.push_back(bounded("time, mean error", mean_error(times_), kTimeTolerance));
  return out;
}

}  // namespace kvroof::probe
