// Runs of a benchmark client: a setup under synthetic or recorded traffic, through the simulator.
#pragma once
#include "model/accuracy/measurement.hpp"
#include "model/predict.hpp"
#include "model/serving/arrivals.hpp"
#include "model/serving/simulate.hpp"

namespace kvroof::accuracy {

/// How the client sends and how the engine admits.
///   longest  tokens of the longest request: sizes the tables; 0 = prompt + output means, times 4
///            where lengths vary
///   reserve  a request joins only when its whole length fits (TensorRT-LLM's guaranteed no evict)
///   blocks   the engine's own count of cache blocks where it is known, else what memory leaves
struct Run {
  serving::SyntheticTrace traffic;
  std::int64_t concurrency = 0;  // > 0: closed loop
  bool reserve = false;
  bool prefix_caching = false;
  double prefix_hit = 0;    // share of each prompt that is not computed
  double cache_factor = 1;  // requests that share cache: the pool seems larger by this
  double longest = 0;
  std::int64_t blocks = 0;
};

/// Throws UserError when the deployment holds no request.
serving::Service run_service(const Setup& setup, const Run& run);

/// The same for recorded requests.
serving::Service run_trace(const Setup& setup, const serving::Trace& trace, const Run& run);

/// What a client's report calls the row's metric, in SI units; std::runtime_error for another.
double service_metric(const serving::Service& service, const Measurement& m);

/// Prefill and generation of a fixed batch in lock step: predict() with lock_step set.
struct BatchTimes {
  Seconds prefill, step, whole;
  Seconds floor;  // of the whole: nothing is faster
};
BatchTimes static_batch(Setup setup, double batch, double prompt, double output);

}  // namespace kvroof::accuracy
