// One deployment (network, GPUs, policy) under many workloads at once.
#pragma once
#include <unordered_map>
#include <vector>

#include "model/predict.hpp"
#include "model/sweep/columns.hpp"

namespace kvroof::sweep {

/// predict() over kLanes workloads, equal to it to rounding. Of a decode step, only attention
/// depends on the context and everything else on the requests alone; a prompt's time depends on the
/// prompt alone; the pool on the tokens of a request. Each is asked of the model once and kept, so
/// a point costs one attention kernel and the arithmetic of service_times, which runs on arrays.
class Deployment {
 public:
  /// Throws what predict() throws: std::invalid_argument, std::domain_error.
  explicit Deployment(Setup setup);
  const Setup& setup() const { return setup_; }
  Block evaluate(const Points& points);

 private:
  struct Prompt {
    double tokens, prefix_hit;
    bool operator==(const Prompt&) const = default;
  };
  struct PromptHash {
    std::size_t operator()(const Prompt& p) const {
      const std::hash<double> h;
      return h(p.tokens) * 31 + h(p.prefix_hit);
    }
  };
  using Sums = StepSums<double>;

  const Sums& without_attention(double requests);
  const Sums& attention(double requests, double context);
  double prefill(double tokens, double prefix_hit, double requests) const;
  double alone(const Prompt& prompt);
  double max_concurrency(double tokens_per_request);

  Setup setup_;
  Lowering lowering_;
  Launch launch_;
  ServiceTerms terms_;
  bool any_pool_ = true;
  std::unordered_map<double, Sums> without_attention_;
  std::unordered_map<double, double> concurrency_;
  std::unordered_map<Prompt, double, PromptHash> alone_;
  StepLoad load_{RequestGroup{}};
  std::vector<Op> ops_;
  double last_requests_ = -1, last_context_ = -1;
  Sums last_attention_{};
};

}  // namespace kvroof::sweep
