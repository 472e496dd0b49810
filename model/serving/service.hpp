// What came of a trace of requests: percentiles, rates, a verdict, and how it is told.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/serving/gaps.hpp"
#include "model/serving/replica.hpp"

namespace kvroof::serving {

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

/// Share of requests that meet both objectives (seconds), as a rate per second.
double goodput(const Service& s, double ttft, double tpot);

/// Requests as Chrome trace events (chrome://tracing, Perfetto): queue, prefill and decode spans.
std::string chrome_trace(const Service& s);

/// A record of each request, nothing of it done yet.
std::vector<Record> records_of(const Trace& trace);

/// Percentiles, rates and batch from the records and counters.
void finish(Service& s);

Summary summary_of(const Gaps& gaps);

}  // namespace kvroof::serving
