// Step time from three small tables, so that a simulation asks the performance model a few hundred
// times and not once a step.
#pragma once
#include <functional>
#include <vector>

#include "model/serving/step.hpp"

namespace kvroof::serving {

/// A step splits into what depends on the number of tokens alone (linear layers, norms,
/// collectives, host) and attention, which adds up over its requests.
struct StepParts {
  std::function<Seconds(double tokens)> linear;
  std::function<Seconds(double requests, double context)> decode;  // each with `context` tokens
  std::function<Seconds(double s_q, double cached)> prefill;       // one chunk
};

/// Knots at 0 and powers of two with three points between; linear in between. Beyond the last knot
/// the last stretch goes on, since all three grow linearly there.
class Curve {
 public:
  Curve() = default;
  Curve(double most, const std::function<double(double)>& f);
  double operator()(double x) const;

 private:
  std::vector<double> x_, y_;
};

/// Bilinear on two such axes.
class Surface {
 public:
  Surface() = default;
  Surface(double most_x, double most_y, const std::function<double(double, double)>& f);
  double operator()(double x, double y) const;

 private:
  std::vector<double> x_, y_, z_;  // z [x, y]
};

/// Tables up to these sizes. The decode table holds seconds of attention of `requests` requests;
/// the prefill table seconds of one chunk.
struct StepSizes {
  double tokens = 8192, requests = 256, context = 131072;
};
StepTime tabulate(const StepParts& parts, const StepSizes& sizes);

}  // namespace kvroof::serving
