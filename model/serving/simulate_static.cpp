#include <algorithm>

#include "model/serving/simulate.hpp"
#include "model/user_error.hpp"

namespace kvroof::serving {

Service simulate_static(std::int64_t batch, bool padded, std::int64_t concurrency,
                        const Trace& trace, const StepTime& step) {
  if (batch < 1) throw UserError("max_num_seqs: expected at least 1");
  if (trace.requests.empty()) throw UserError("expected at least one request, got none");
  Service out;
  Gaps gaps;
  out.records = records_of(trace);
  if (concurrency > 0) batch = std::min(batch, concurrency);
  std::vector<double> finished;  // in a closed loop the i-th that ends lets request i + c come
  double clock = 0;
  for (std::size_t first = 0; first < trace.requests.size();
       first += static_cast<std::size_t>(batch)) {
    const std::size_t end =
        std::min(first + static_cast<std::size_t>(batch), trace.requests.size());
    if (concurrency > 0)
      for (std::size_t i = std::max(first, static_cast<std::size_t>(concurrency)); i < end; ++i)
        out.records[i].arrival = finished[i - static_cast<std::size_t>(concurrency)];
    clock = std::max(clock, out.records[end - 1].arrival);
    const auto size = static_cast<double>(end - first);
    double longest = 0, outputs = 0, context = 0;
    StepMix prefill{.prefills = size};
    for (std::size_t i = first; i < end; ++i)
      longest = std::max<double>(longest, trace.requests[i].prompt),
      outputs = std::max<double>(outputs, trace.requests[i].output);
    for (std::size_t i = first; i < end; ++i) {
      const double n = padded ? longest : trace.requests[i].prompt;
      prefill.prefill_tokens += n, prefill.prefill_pairs += n * n / 2, context += n;
    }
    const double start = clock + step(prefill).value;
    // All rows run until the longest output ends; the context grows by the whole batch.
    const auto at = [&](double k) {
      return step({.decodes = size, .context = context + size * (k + 1)}).value;
    };
    const double steps = outputs - 1, t0 = at(0), t1 = steps > 1 ? at(steps - 1) : t0;
    for (std::size_t i = first; i < end; ++i) {
      Record& r = out.records[i];
      const double k = r.output - 1;
      r.first_token = start;
      r.finish = start + k * t0 + (steps > 1 ? (t1 - t0) / (steps - 1) * k * (k - 1) / 2 : 0);
      out.counters.token_steps += k;  // slots that hold a live request
    }
    // A row that has ended is carried along but seen by nobody: one ramp for each length.
    for (std::size_t i = first; i < end; ++i) {
      const auto k = static_cast<std::int64_t>(out.records[i].output) - 1;
      const double slope = steps > 1 ? (t1 - t0) / (steps - 1) : 0;
      gaps.add_ramp(t0, t0 + slope * static_cast<double>(k - 1), k, 1);
    }
    const double time = steps * t0 + (steps > 1 ? (t1 - t0) * steps / 2 : 0);
    out.counters.block_steps += size * steps;
    out.counters.decode_slots += size * steps, out.counters.decode_steps += steps;
    out.counters.steps += static_cast<std::int64_t>(steps) + 1, ++out.counters.events;
    out.counters.busy += start - clock + time;
    clock = start + time;
    for (std::size_t i = first; i < end; ++i) finished.push_back(out.records[i].finish);
    std::sort(finished.end() - static_cast<std::ptrdiff_t>(end - first), finished.end());
  }
  finish(out);
  out.itl = summary_of(gaps), out.gaps = gaps.count();
  out.useful_share =
      out.counters.block_steps > 0 ? out.counters.token_steps / out.counters.block_steps : 1;
  return out;
}

}  // namespace kvroof::serving
