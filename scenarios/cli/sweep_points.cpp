#include "scenarios/cli/sweep_points.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace kvroof::cli {

Setup with_batch(Setup s, double batch) {
  s.point.batch = batch;
  return s;
}

Setup with_context(Setup s, double tokens) {
  s.point.prompt = tokens;
  if (s.point.context > 0) s.point.context = tokens;
  return s;
}

Setup with_tensor_parallel(Setup s, int tensor) {
  s.policy.parallel.tensor = tensor;
  return s;
}

std::optional<Prediction> predict_if_fits(const Setup& s) {
  try {
    Prediction p = predict(s);
    if (p.memory.fits) return p;
  } catch (const std::invalid_argument&) {  // the LLM cannot be cut so
  } catch (const std::domain_error&) {      // no such unit on this GPU
  }
  return std::nullopt;
}

double most_requests(const Setup& s) {
  const double replicas = s.policy.parallel.data;
  const double held = std::floor(predict(with_batch(s, replicas)).memory.max_concurrency);
  return replicas * std::min<double>(s.policy.max_num_seqs, held);
}

}  // namespace kvroof::cli
