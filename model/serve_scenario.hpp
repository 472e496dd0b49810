// A scenario's workload, scheduler, speculation and pools as a simulation.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "model/predict.hpp"
#include "model/scenario.hpp"
#include "model/serving/simulate.hpp"

namespace kvroof {

/// The objectives in force, seconds; infinity where none is set.
struct Objectives {
  double ttft_p99, tpot_p99;
};
Objectives objectives(const Slo& slo);

struct ServiceRun {
  serving::Service service;
  int gpus = 1;
  std::int64_t pool_tokens = 0;  // of one engine
  double goodput = 0;            // requests per second within the objectives
  bool meets_slo = true;         // p99 of TTFT and TPOT
  double usd_per_million_output_tokens = 0;
  std::vector<std::string> warnings;
};

/// The traffic a scenario describes: a recorded trace, or lengths and arrivals drawn from its seed.
serving::Trace traffic(const Scenario& s);

/// Throws UserError for what the simulator does not do, by name: it never quietly runs another job.
/// `prefill` is the setup of the prefill GPUs where they are of another kind.
ServiceRun simulate_scenario(const Scenario& s, const Setup& setup, const Setup* prefill = nullptr,
                             const std::function<void(double, double)>& progress = {});

}  // namespace kvroof
