// From traffic and limits to what users of the service see.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "model/serving/replica.hpp"

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

struct Summary {
  double mean = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
};
/// Nearest-rank percentiles; values need no order.
Summary summarise(std::vector<double> values);

/// stable      queues form and drain
/// backlogged  requests wait, but the queue is no longer at the end of the traffic than before
/// overloaded  the queue grew over the traffic and had to be drained after it: latencies depend on
///             how long the traffic was, not on the service
enum class Verdict { stable, backlogged, overloaded };
std::string_view name(Verdict v);

struct Sample {
  double time = 0;
  std::int64_t running = 0, waiting = 0, blocks = 0;
};

struct Service {
  std::vector<Record> records;
  Summary ttft, tpot, e2e;  // seconds; tpot over requests of at least two tokens
  Summary itl;              // gaps between tokens, or between chunks under speculation; over all
                            // gaps, percentiles to 0.4 %
  double gaps = 0;      // how many they are: a request of n tokens has n − 1 without speculation
  double duration = 0;  // first arrival to last token
  double request_rate = 0, output_rate = 0, total_rate = 0;  // per second
  double mean_batch = 0;                                     // decoding requests per decode step
  double pool_share = 0, useful_share = 0;  // of the pool held, of that holding tokens; over time
  Verdict verdict = Verdict::stable;
  Counters counters;  // over all engines
  std::vector<Sample> timeline;
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

/// Share of requests that meet both objectives (seconds), as a rate per second.
double goodput(const Service& s, double ttft, double tpot);

/// Requests as Chrome trace events (chrome://tracing, Perfetto): queue, prefill and decode spans.
std::string chrome_trace(const Service& s);

}  // namespace kvroof::serving
