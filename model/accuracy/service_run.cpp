#include "model/accuracy/service_run.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "model/serve.hpp"

namespace kvroof::accuracy {

serving::Service run_trace(const Setup& given, const serving::Trace& trace, const Run& run) {
  Setup s = given;
  double longest = 0, mean = 0;
  for (const serving::Request& r : trace.requests) {
    const double n = 1.0 * r.prompt + r.output;
    longest = std::max(longest, n);
    mean += n / static_cast<double>(trace.requests.size());
  }
  const int replicas = s.policy.parallel.data;
  serving::Limits l = limits(s, mean);
  if (run.blocks > 0) l.blocks = run.blocks;
  l.blocks = static_cast<std::int64_t>(static_cast<double>(l.blocks) * run.cache_factor);
  l.prefix_caching = run.prefix_caching || run.prefix_hit > 0;
  l.prefix_hit_rate = run.prefix_hit;
  if (run.reserve) l.reserve = static_cast<std::int64_t>(longest);
  const double each = std::ceil(static_cast<double>(trace.requests.size()) / replicas);
  const double room = static_cast<double>(l.blocks * l.block_size) /
                      (run.reserve ? longest : std::max(1.0, 0.5 * mean));
  l.max_num_seqs = static_cast<std::int64_t>(
      std::max(1.0, std::min({1.0 * static_cast<double>(l.max_num_seqs), each, room})));
  // Tables no larger than what can occur.
  s.policy.max_num_seqs = static_cast<int>(l.max_num_seqs);
  s.llm.max_positions = static_cast<int>(longest) + 1;
  return serving::simulate({.limits = l, .replicas = replicas, .concurrency = run.concurrency},
                           trace, step_time(s));
}

serving::Service run_service(const Setup& setup, const Run& run) {
  return run_trace(setup, serving::synthesise(run.traffic), run);
}

double service_metric(const serving::Service& r, const Measurement& m) {
  const auto of = [](const serving::Summary& s, std::string_view metric) {
    if (metric.ends_with("_p50")) return s.p50;
    if (metric.ends_with("_p90")) return s.p90;
    if (metric.ends_with("_p95")) return s.p95;
    if (metric.ends_with("_p99")) return s.p99;
    return s.mean;
  };
  if (m.metric.starts_with("ttft")) return of(r.ttft, m.metric);
  if (m.metric.starts_with("tpot")) return of(r.tpot, m.metric);
  if (m.metric.starts_with("e2e")) return of(r.e2e, m.metric);
  if (m.metric == "output_tok_s") return r.output_rate;
  if (m.metric == "total_tok_s") return r.total_rate;
  if (m.metric == "request_rate") return r.request_rate;
  if (m.metric == "duration" || m.metric == "makespan") return r.duration;
  throw std::runtime_error("metric " + m.metric + " is not one of a run");
}

BatchTimes static_batch(Setup s, double batch, double prompt, double output) {
  s.point = {.batch = batch, .prompt = prompt, .output = output, .lock_step = true};
  const Prediction p = predict(s);
  const double steps = std::max(0.0, output - 1);
  return {p.e2e - steps * p.tpot, p.tpot, p.e2e,
          p.prefill.step.floor + steps * p.decode.step.floor};
}

}  // namespace kvroof::accuracy
