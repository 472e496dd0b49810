// From traffic and limits to what users of the service see.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "model/serving/replica.hpp"
#include "model/serving/service.hpp"

namespace kvroof::serving {

/// Prefill on engines of their own; their caches travel to the engines of Simulation::limits.
struct PrefillPool {
  int replicas = 0;  // 0: prefill and decode share engines
  Limits limits;
  Seconds transfer_per_token;  // K_t / link bandwidth
  Seconds transfer_state;      // of what linear layers keep of a request
  int n_layers = 1;            // sent layer by layer while the prefill runs
  StepTime step;               // empty: the same as that of the decode engines
};

struct Simulation {
  Limits limits;
  int replicas = 1;              // a router sends each request to the one with fewest requests
  std::int64_t concurrency = 0;  // > 0: closed loop, arrival times are ignored
  PrefillPool prefill;
  std::uint64_t seed = 0;
  std::function<void(double done, double requests)> progress;  // may be empty
};

/// Throws UserError for limits that serve nobody: a pool smaller than the longest request, no
/// slots, a token budget below the slots.
Service simulate(const Simulation& s, const Trace& trace, const StepTime& step);

/// Static batching on one engine: batches of up to `batch` requests in order of arrival start when
/// full (or when no more come), padded to the longest prompt if asked; a client has its answer when
/// its last token is out, but its slot is free only when the whole batch has ended.
///   concurrency  > 0: closed loop of that many clients, who send again when they have their answer
Service simulate_static(std::int64_t batch, bool padded, std::int64_t concurrency,
                        const Trace& trace, const StepTime& step);

}  // namespace kvroof::serving
