// How many requests per second one engine group serves within its objective.
#pragma once
#include <functional>
#include <string>

#include "model/predict.hpp"
#include "model/serve_scenario.hpp"
#include "model/serving/simulate.hpp"

namespace kvroof::plan {

/// What is asked of a deployment.
struct Goal {
  /// `requests` requests at `rate` per second; the same seed gives the same lengths at any rate.
  std::function<serving::Trace(double rate, std::int64_t requests)> traffic;
  double rate = 1;                // requests per second, over everything
  double prompt = 1, output = 1;  // mean tokens
  Objectives slo;                 // p99, seconds
  double max_load = .8;           // share of a group's capacity that is used
  int spare = 0;                  // groups more than the load needs
};

/// Which part of a request an engine group does.
enum class Role { both, prefill, decode };

/// A group of GPUs that serves as one: what its simulation needs, built once. UserError when it
/// cannot: it does not fit, cannot be cut so, or its GPU lacks a unit.
struct Group {
  Group(Setup setup, Role role, const Goal& demand);
  Setup setup;
  Role role;
  serving::Limits limits;
  serving::StepTime step;
  int replicas = 1;     // engines inside: data replicas, batches in a pipeline
  double lone_e2e = 0;  // seconds of one request on idle GPUs
};

/// Seconds at p99. Of a decode group, tpot counts from the arrival of the cache.
struct Tails {
  double ttft = 0, tpot = 0, mean_batch = 0;
  bool steady = true;  // the queue does not grow with the traffic
};
Tails tails(const Group& group, const Goal& demand, double rate);

/// Whether the group's part of the objective is met.
bool meets(const Tails& t, Role role, const Objectives& slo);

struct Capacity {
  double rate = 0;  // requests per second; 0: not even one request at a time meets the objective
  Tails idle;       // one request at a time
};
/// The largest rate that meets the objective, to about 3 %: steps of 4 up from an idle group, then
/// halving in the logarithm. Simulated, since no closed form knows the tail.
Capacity capacity(const Group& group, const Goal& demand);

}  // namespace kvroof::plan
