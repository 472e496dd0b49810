#include "model/serving/simulate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "model/user_error.hpp"

namespace kvroof::serving {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
using Engines = std::vector<std::unique_ptr<Replica>>;

void check(const Limits& l, const Trace& trace) {
  std::vector<std::string> bad;
  const auto refuse = [&](bool wrong, std::string text) {
    if (wrong) bad.push_back(std::move(text));
  };
  refuse(l.max_num_seqs < 1, "max_num_seqs: expected at least 1");
  refuse(l.block_size < 1, "block_size: expected at least 1");
  refuse(l.guesses < 0, "num_speculative_tokens: expected 0 or more");
  refuse(!(l.acceptance >= 0 && l.acceptance <= 1), "acceptance: expected 0 to 1");
  refuse(!(l.prefix_hit_rate >= 0 && l.prefix_hit_rate <= 1), "prefix_hit_rate: expected 0 to 1");
  refuse(!(l.watermark >= 0 && l.watermark < 1), "watermark: expected 0 to 1");
  refuse(l.max_num_batched_tokens < l.max_num_seqs * (1 + l.guesses),
         fmt::format("max_num_batched_tokens: expected at least max_num_seqs x tokens per step = "
                     "{}, got {}",
                     l.max_num_seqs * (1 + l.guesses), l.max_num_batched_tokens));
  refuse(trace.requests.empty(), "expected at least one request, got none");
  if (!bad.empty()) throw UserError(std::move(bad));
  refuse(l.prefix_caching && trace.hash_block % l.block_size != 0,
         fmt::format("block_size: expected a divisor of the trace's {}-token prefix blocks, got {}",
                     trace.hash_block, l.block_size));
  std::int64_t longest = 0;
  for (const Request& r : trace.requests)
    longest = std::max<std::int64_t>(longest, static_cast<std::int64_t>(r.prompt) + r.output);
  longest = std::max(longest, l.reserve) + l.guesses;
  if (l.buddy) {
    const std::int64_t blocks = (longest + l.block_size - 1) / l.block_size;
    const std::int64_t piece = std::int64_t{1} << BuddyPool::order_of(blocks);
    refuse(
        piece > BuddyPool(l.blocks).largest(),
        fmt::format("the longest request needs a piece of {} blocks, the largest power of two in "
                    "the pool of {} is {}",
                    piece, l.blocks, BuddyPool(l.blocks).largest()));
  }
  refuse(longest > l.blocks * l.block_size,
         fmt::format("the KV pool holds {} tokens, the longest request needs {}",
                     l.blocks * l.block_size, longest));
  if (!bad.empty()) throw UserError(std::move(bad));
}

Replica& least_loaded(const Engines& engines) {
  return **std::min_element(engines.begin(), engines.end(), [](const auto& a, const auto& b) {
    return a->running() + a->waiting() < b->running() + b->waiting();
  });
}

Engines make_engines(int count, const Limits& limits, const StepTime& step, const Trace& trace,
                     std::vector<Record>& records, std::uint64_t seed) {
  Engines engines;
  for (int i = 0; i < count; ++i)
    engines.push_back(std::make_unique<Replica>(limits, step, trace, records, seed + i));
  return engines;
}

void add(Counters& a, const Counters& b) {
  a.steps += b.steps, a.events += b.events, a.preemptions += b.preemptions;
  a.peak_blocks = std::max(a.peak_blocks, b.peak_blocks);
  a.peak_waiting = std::max(a.peak_waiting, b.peak_waiting);
  a.busy += b.busy, a.decode_slots += b.decode_slots, a.decode_steps += b.decode_steps;
  a.block_seconds += b.block_seconds, a.token_seconds += b.token_seconds;
  a.block_steps += b.block_steps, a.token_steps += b.token_steps;
}

using Reporter = std::function<void(double done, double requests)>;

void open_loop(const Engines& engines, const Trace& trace, std::vector<Sample>& timeline,
               const Reporter& progress) {
  const std::size_t n = trace.requests.size(), every = std::max<std::size_t>(1, n / 512);
  const auto sample = [&](double time) {
    Sample s{.time = time};
    for (const auto& e : engines)
      s.running += e->running(), s.waiting += e->waiting(), s.blocks += e->pool().used();
    timeline.push_back(s);
  };
  for (std::size_t i = 0; i < n; ++i) {
    const double now = trace.requests[i].arrival.value;
    for (const auto& e : engines) e->run_until(now);
    if (i % every == 0 || i + 1 == n) {
      sample(now);
      if (progress) progress(static_cast<double>(i), static_cast<double>(n));
    }
    least_loaded(engines).submit(static_cast<std::int32_t>(i), now);
  }
  for (const auto& e : engines) e->run_until(kNever);
}

void closed_loop(const Engines& engines, std::int64_t concurrency, std::vector<Record>& records,
                 const Reporter& progress) {
  const auto n = static_cast<std::int64_t>(records.size());
  std::int64_t next = 0;
  const auto start = [&](Replica& e, double now) {
    records[next].arrival = now;
    e.submit(static_cast<std::int32_t>(next++), now);
  };
  while (next < std::min(concurrency, n)) start(least_loaded(engines), 0);
  for (;;) {  // the engine that is furthest behind runs until somebody leaves
    Replica* behind = nullptr;
    for (const auto& e : engines)
      if (!e->idle() && (!behind || e->clock() < behind->clock())) behind = e.get();
    if (!behind) return;
    behind->run_until(kNever, true);
    const auto left = static_cast<std::int64_t>(behind->finished().size());
    for (std::int64_t i = 0; i < left && next < n; ++i) start(*behind, behind->clock());
    if (progress && next / 4096 != (next - left) / 4096)
      progress(static_cast<double>(next), static_cast<double>(n));
  }
}

/// First pass through the prefill engines; returns the traffic of the decode pool.
Trace prefill_first(const Simulation& s, const Trace& trace, const StepTime& step,
                    std::vector<Record>& records, std::vector<std::int32_t>& ids,
                    Counters& counters, Gaps& gaps) {
  Trace prompts = trace;
  for (Request& r : prompts.requests) r.output = 1;
  std::vector<Record> first = records;
  for (Record& r : first) r.output = 1;
  const Engines engines =
      make_engines(s.prefill.replicas, s.prefill.limits, step, prompts, first, s.seed);
  std::vector<Sample> unused;
  open_loop(engines, prompts, unused, s.progress);
  for (const auto& e : engines) add(counters, e->counters()), gaps.merge(e->gaps());
  Trace decode;
  struct Sent {
    double at;
    std::int32_t id;
  };
  std::vector<Sent> sent;
  for (std::size_t i = 0; i < first.size(); ++i) {
    records[i].first_token = first[i].finish;
    records[i].cached = first[i].cached;
    if (trace.requests[i].output == 1) {
      records[i].finish = first[i].finish;
      continue;
    }
    // Layers travel while later ones are computed: the last layer is always seen, the rest only
    // when the link is slower than the prefill itself.
    const double transfer = s.prefill.transfer_state.value +
                            s.prefill.transfer_per_token.value * trace.requests[i].prompt;
    const auto computed = static_cast<double>(trace.requests[i].prompt - first[i].cached);
    const double alone = step({.prefills = 1,
                               .prefill_tokens = computed,
                               .prefill_pairs = computed * (first[i].cached + computed / 2)})
                             .value;
    sent.push_back(
        {first[i].finish + transfer / s.prefill.n_layers + std::max(0.0, transfer - alone),
         static_cast<std::int32_t>(i)});
  }
  std::sort(sent.begin(), sent.end(),
            [](const Sent& a, const Sent& b) { return a.at != b.at ? a.at < b.at : a.id < b.id; });
  for (const Sent& x : sent) {
    Request r = trace.requests[x.id];
    r.arrival = Seconds{x.at}, r.prompt += 1,
    r.output -= 1;  // the first token is part of the cache
    r.num_hashes = 0;
    decode.requests.push_back(r);
    ids.push_back(x.id);
  }
  return decode;
}

Verdict verdict_of(const Service& s, double last_arrival) {
  if (s.timeline.size() < 4) return Verdict::stable;
  double early = 0, late = 0;
  const std::size_t half = s.timeline.size() / 2;
  for (std::size_t i = 0; i < s.timeline.size(); ++i)
    (i < half ? early : late) += static_cast<double>(s.timeline[i].waiting);
  early /= static_cast<double>(half), late /= static_cast<double>(s.timeline.size() - half);
  const double drain = s.duration - last_arrival;
  const bool grew = late > 1 && late > 1.5 * early &&
                    static_cast<double>(s.timeline.back().waiting) > 1.5 * early;
  if (grew && drain > 0.05 * s.duration && drain > s.e2e.p50 / 2) return Verdict::overloaded;
  return early + late > 2 ? Verdict::backlogged : Verdict::stable;
}

}  // namespace

Service simulate(const Simulation& s, const Trace& trace, const StepTime& step) {
  check(s.limits, trace);
  if (s.replicas < 1) throw UserError("replicas: expected at least 1");
  Service out;
  Gaps gaps;
  out.records = records_of(trace);
  if (s.prefill.replicas > 0) {
    if (s.concurrency > 0)
      throw UserError("disaggregation: expected request_rate or a trace, got max_concurrency");
    check(s.prefill.limits, trace);
    std::vector<std::int32_t> ids;
    const Trace decode = prefill_first(s, trace, s.prefill.step ? s.prefill.step : step,
                                       out.records, ids, out.counters, gaps);
    Limits limits = s.limits;
    limits.prefilled = true, limits.prefix_caching = false;
    std::vector<Record> second = records_of(decode);
    const Engines engines = make_engines(s.replicas, limits, step, decode, second, s.seed + 7919);
    if (!ids.empty()) open_loop(engines, decode, out.timeline, s.progress);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      out.records[ids[i]].finish = second[i].finish;
      out.records[ids[i]].preemptions = second[i].preemptions;
      // Its second token waited for the transfer and for a slot.
      gaps.add(second[i].first_token - out.records[ids[i]].first_token, 1);
    }
    for (const auto& e : engines) add(out.counters, e->counters()), gaps.merge(e->gaps());
  } else {
    const Engines engines = make_engines(s.replicas, s.limits, step, trace, out.records, s.seed);
    if (s.concurrency > 0) closed_loop(engines, s.concurrency, out.records, s.progress);
    else open_loop(engines, trace, out.timeline, s.progress);
    for (const auto& e : engines) add(out.counters, e->counters()), gaps.merge(e->gaps());
  }
  finish(out);
  out.itl = summary_of(gaps), out.gaps = gaps.count();
  const double pool = static_cast<double>(s.limits.blocks * s.limits.block_size) * s.replicas;
  out.pool_share = out.counters.block_seconds / (pool * out.duration);
  out.verdict = verdict_of(out, trace.requests.back().arrival.value);
  return out;
}

}  // namespace kvroof::serving
