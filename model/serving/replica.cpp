#include "model/serving/replica.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/serving/prefix_cache.hpp"
#include "model/serving/speculative.hpp"

namespace kvroof::serving {

Replica::Replica(const Limits& limits, const StepTime& step, const Trace& trace,
                 std::vector<Record>& records, std::uint64_t seed)
    : limits_(limits),
      step_(step),
      trace_(trace),
      records_(records),
      rng_(seed),
      pool_(limits.blocks, std::max<std::int64_t>(
                               1, trace.hash_block / std::max<std::int64_t>(1, limits.block_size))),
      live_(trace.requests.size()),
      phases_(static_cast<std::size_t>(limits.block_size)),
      expected_(limits.guesses > 0 ? expected_tokens(limits.acceptance, limits.guesses) : 1) {
  if (limits_.buddy) buddy_.emplace(limits_.blocks);
}

void Replica::submit(std::int32_t id, double now) {
  if (idle()) clock_ = std::max(clock_, now);
  waiting_.push_back(id);
  counters_.peak_waiting = std::max(counters_.peak_waiting, waiting());
}

std::span<const std::int64_t> Replica::units(std::int32_t id) const {
  const Request& r = trace_.requests[id];
  if (!limits_.prefix_caching || trace_.hash_block == 0 || limits_.buddy) return {};
  return trace_.hashes_of(r).first(
      std::min<std::size_t>(r.num_hashes, static_cast<std::size_t>(r.prompt / trace_.hash_block)));
}

std::int64_t Replica::length(std::int32_t id) const {
  return trace_.requests[id].prompt + live_[id].emitted;
}

std::int64_t Replica::blocks_for(std::int64_t tokens) const {
  return (tokens + limits_.block_size - 1) / limits_.block_size;
}

std::size_t Replica::phase(std::int64_t length_minus_tick) const {
  const std::int64_t b = limits_.block_size;
  return static_cast<std::size_t>(((length_minus_tick % b) + b) % b);
}

/// New blocks that all decodes together need for their next `ticks` tokens.
std::int64_t Replica::crossings(std::int64_t ticks) const {
  const std::int64_t b = limits_.block_size;
  std::int64_t blocks = ticks / b * decodes_;
  for (std::int64_t i = 0; i < ticks % b; ++i) blocks += phases_[phase(-(tick_ + i))];
  return blocks;
}

/// Steps until `tokens` more are out. Exact for short outputs; the bulk of a long one by the
/// central limit theorem, so that the cost does not grow with the output.
std::int64_t Replica::steps_for(std::int64_t tokens) {
  const int g = limits_.guesses;
  if (g == 0) return tokens;
  constexpr std::int64_t kExact = 64;
  std::int64_t steps = 0;
  auto left = static_cast<double>(tokens);
  if (tokens > 2 * kExact) {
    double second = 0, stay = 1;  // E[k²] of the tokens of one step
    for (int k = 1; k <= g + 1; ++k, stay *= limits_.acceptance)
      second += (k <= g ? stay * (1 - limits_.acceptance) : stay) * k * k;
    steps = static_cast<std::int64_t>(static_cast<double>(tokens - kExact) / expected_);
    const auto n = static_cast<double>(steps);
    const double spread = std::sqrt(std::max(0.0, n * (second - expected_ * expected_)));
    left -= std::clamp(std::round(n * expected_ + spread * rng_.normal()), n, n * (g + 1));
  }
  for (; left > 0; ++steps) {
    int kept = 0;
    while (kept < g && rng_.uniform() < limits_.acceptance) ++kept;
    left -= kept + 1;
  }
  return std::max<std::int64_t>(steps, (tokens + g) / (g + 1));
}

bool Replica::joins(std::int32_t id, std::int64_t budget, bool first_prefill) {
  if (running() >= limits_.max_num_seqs || budget <= 0) return false;
  const Request& r = trace_.requests[id];
  const auto shared = units(id);
  const std::int64_t tokens =
      limits_.reserve > 0 ? std::max<std::int64_t>(limits_.reserve, r.prompt + r.output)
      : limits_.buddy || limits_.guesses > 0 ? r.prompt + r.output + limits_.guesses
                                             : length(id);
  if (buddy_) {
    const int order = BuddyPool::order_of(blocks_for(tokens));
    if (!buddy_->has(order)) return false;
    live_[id].blocks = static_cast<std::int32_t>(1) << order;
    return limits_.chunked_prefill || first_prefill || length(id) <= budget;
  }
  const std::int64_t own = blocks_for(tokens) - static_cast<std::int64_t>(shared.size()) *
                                                    (trace_.hash_block / limits_.block_size);
  std::int64_t need = own;
  if (!shared.empty()) need += pool_.cost(shared);
  const auto spare = static_cast<std::int64_t>(
      running() > 0 ? limits_.watermark * static_cast<double>(pool_.total()) : 0);
  if (paged()) need += crossings(1);  // running requests take their next blocks first
  if (need + spare > pool_.available()) return false;
  Live& l = live_[id];
  l.blocks = static_cast<std::int32_t>(own);
  if (!limits_.chunked_prefill && !first_prefill && length(id) > budget) return false;
  return true;
}

void Replica::join(std::int32_t id) {
  Live& l = live_[id];
  const Request& r = trace_.requests[id];
  const auto shared = units(id);
  std::int64_t cached = 0;
  if (!shared.empty()) {
    cached = prefix_hit_tokens(pool_.present(shared) * trace_.hash_block, length(id),
                               limits_.block_size);
    pool_.use(shared);
  } else if (limits_.prefix_hit_rate > 0 && l.emitted == 0) {
    cached = prefix_hit_tokens(static_cast<std::int64_t>(limits_.prefix_hit_rate * r.prompt),
                               r.prompt, limits_.block_size);
  }
  if (buddy_) l.address = buddy_->take(BuddyPool::order_of(l.blocks));
  pool_.take(l.blocks);
  counters_.peak_blocks = std::max(counters_.peak_blocks, pool_.used());
  if (l.emitted == 0 && records_[id].preemptions == 0)
    records_[id].cached = static_cast<std::int32_t>(cached);
  // A swapped or sent cache comes back whole; one token is left to compute.
  l.done = static_cast<std::int32_t>(l.swapped || limits_.prefilled ? length(id) - 1 : cached);
  if (l.swapped) clock_ += limits_.swap_per_token.value * static_cast<double>(length(id) - 1);
  l.swapped = false;
  ++l.epoch;
  prefill_held_ += l.done;
  prefilling_.push_back(id);
  order_.push_back({id, l.epoch});
}

void Replica::leave(std::int32_t id) {
  Live& l = live_[id];
  pool_.give_back(l.blocks);
  if (buddy_) buddy_->give_back(l.address, BuddyPool::order_of(l.blocks));
  if (const auto shared = units(id); !shared.empty()) pool_.release(shared);
  l.blocks = 0;
  ++l.epoch;
}

void Replica::begin_decode(std::int32_t id) {
  Live& l = live_[id];
  const std::int64_t left = trace_.requests[id].output - l.emitted;
  l.start = tick_;
  l.finish = tick_ + steps_for(left);
  // Cached tokens: the prompt and all output but the last token, which is the next input.
  const std::int64_t cached = length(id) - 1;
  ++decodes_;
  context_ += static_cast<double>(cached);
  growth_ += static_cast<double>(left) / static_cast<double>(l.finish - l.start);
  if (paged()) ++phases_[phase(cached - tick_)];
  endings_.push({l.finish, id, l.epoch});
}

/// Takes the request that joined last off the GPU and puts it at the head of the queue.
void Replica::preempt_last() {
  while (live_[order_.back().id].epoch != order_.back().epoch) order_.pop_back();
  const std::int32_t id = order_.back().id;
  order_.pop_back();
  Live& l = live_[id];
  if (const auto at = std::find(prefilling_.begin(), prefilling_.end(), id);
      at != prefilling_.end()) {
    prefilling_.erase(at);
    prefill_held_ -= l.done;
  } else {
    const std::int64_t grown = tick_ - l.start, cached = length(id) - 1;
    --decodes_, --growth_;  // only paged, unspeculated requests are ever preempted
    context_ -= static_cast<double>(cached + grown);
    --phases_[phase(cached - l.start)];
    l.emitted += static_cast<std::int32_t>(grown);
    l.blocks =
        static_cast<std::int32_t>(l.blocks + blocks_for(cached + grown) - blocks_for(cached));
    l.paused = clock_;
    l.swapped = limits_.swap_per_token > Seconds{};
    if (l.swapped) clock_ += limits_.swap_per_token.value * static_cast<double>(cached + grown);
  }
  leave(id);
  ++records_[id].preemptions;
  ++counters_.preemptions;
  waiting_.push_front(id);
}

/// Frees blocks for the next token of every decode; true if somebody had to go.
bool Replica::make_room() {
  if (!paged()) return false;
  bool preempted = false;
  while (crossings(1) > pool_.available()) preempt_last(), preempted = true;
  return preempted;
}

/// `seconds` for all ticks together; their lengths go evenly from first to last.
void Replica::advance(std::int64_t ticks, double seconds, double first, double last) {
  const auto n = static_cast<double>(ticks);
  const double before = tokens_held();
  if (decodes_ > 0) {
    if (paged()) pool_.take(crossings(ticks));
    counters_.peak_blocks = std::max(counters_.peak_blocks, pool_.used());
    gaps_.add_ramp(first, last, ticks, static_cast<double>(decodes_));
    tick_ += ticks;
    context_ += n * growth_;
    counters_.decode_slots += n * static_cast<double>(decodes_);
    counters_.decode_steps += n;
  }
  const double held = static_cast<double>(pool_.used() * limits_.block_size);
  const double mean = (before + tokens_held()) / 2;
  counters_.block_steps += n * held, counters_.token_steps += n * mean;
  counters_.block_seconds += seconds * held, counters_.token_seconds += seconds * mean;
  counters_.steps += ticks;
  counters_.busy += seconds;
  clock_ += seconds;
}

void Replica::finish_due() {
  while (!endings_.empty()) {
    const Ending e = endings_.top();
    Live& l = live_[e.id];
    const bool stale = l.epoch != e.epoch;
    if (!stale && e.tick > tick_) return;
    endings_.pop();
    if (stale) continue;
    const Request& r = trace_.requests[e.id];
    const std::int64_t cached = length(e.id) - 1, left = r.output - l.emitted;
    --decodes_;
    growth_ -= static_cast<double>(left) / static_cast<double>(l.finish - l.start);
    context_ -= static_cast<double>(cached + left);
    if (paged()) {
      --phases_[phase(cached - l.start)];
      l.blocks =
          static_cast<std::int32_t>(l.blocks + blocks_for(cached + left) - blocks_for(cached));
    }
    if (decodes_ == 0) context_ = growth_ = 0;  // no rounding is carried on
    l.emitted = r.output;
    leave(e.id);
    records_[e.id].finish = clock_;
    finished_.push_back(e.id);
  }
}

void Replica::mixed_step() {
  const bool preempted = make_room();
  const int verify = 1 + limits_.guesses;
  std::int64_t budget = limits_.max_num_batched_tokens - decodes_ * verify;
  StepMix mix{.decodes = static_cast<double>(decodes_),
              .context = context_ + static_cast<double>(decodes_),
              .verify = static_cast<double>(verify)};
  std::vector<std::int32_t> complete;
  std::size_t kept = 0, at = 0;
  const auto chunk = [&](std::int32_t id) {
    Live& l = live_[id];
    const std::int64_t left = length(id) - l.done;
    const std::int64_t now =
        limits_.chunked_prefill ? std::min(left, std::max<std::int64_t>(0, budget)) : left;
    if (now == 0) return false;
    const auto fresh = static_cast<double>(now);
    mix.prefills += 1, mix.prefill_tokens += fresh;
    mix.prefill_pairs += fresh * (l.done + fresh / 2);
    budget -= now;
    l.done += static_cast<std::int32_t>(now);
    prefill_held_ += fresh;
    return now == left;
  };
  const auto visit = [&](std::int32_t id) {
    if (chunk(id)) complete.push_back(id);
    else prefilling_[kept++] = id;
  };
  for (; at < prefilling_.size(); ++at) visit(prefilling_[at]);
  prefilling_.resize(kept);
  if (!preempted)
    while (!waiting_.empty()) {
      const std::int32_t id = waiting_.front();
      // Requests completed in this very step still hold their slot.
      if (running() + static_cast<std::int64_t>(complete.size()) >= limits_.max_num_seqs ||
          !joins(id, budget, mix.prefills == 0))
        break;
      waiting_.pop_front();
      join(id);
      prefilling_.pop_back();
      if (chunk(id)) complete.push_back(id);
      else prefilling_.push_back(id);
    }
  ++counters_.events;
  const double seconds = step_(mix).value;
  advance(1, seconds, seconds, seconds);
  for (const std::int32_t id : complete) {
    Live& l = live_[id];
    prefill_held_ -= l.done;
    if (prefilling_.empty() && id == complete.back()) prefill_held_ = 0;
    Record& rec = records_[id];
    if (++l.emitted == 1) rec.first_token = clock_;
    else gaps_.add(clock_ - l.paused, 1);  // back after a preemption
    if (l.emitted >= trace_.requests[id].output) {
      rec.finish = clock_;
      leave(id);
      finished_.push_back(id);
    } else {
      begin_decode(id);
    }
  }
  finish_due();
}

bool Replica::can_schedule() {
  if (!prefilling_.empty()) return true;
  if (waiting_.empty()) return false;
  if (paged() && crossings(1) > pool_.available()) return true;  // preempts
  return joins(waiting_.front(), limits_.max_num_batched_tokens - decodes_ * (1 + limits_.guesses),
               true);
}

/// Steps without joins: until a request ends, a block is missing or `horizon` has passed.
void Replica::jump(double horizon) {
  if (paged() && crossings(1) > pool_.available()) return mixed_step();
  while (live_[endings_.top().id].epoch != endings_.top().epoch) endings_.pop();
  std::int64_t most = endings_.top().tick - tick_;
  if (paged()) {
    const std::int64_t b = limits_.block_size, free = pool_.available();
    if (decodes_ * (most / b + 1) > free) {
      std::int64_t n = std::min(most, free / decodes_ * b), blocks = crossings(n);
      while (n < most && blocks + phases_[phase(-(tick_ + n))] <= free)
        blocks += phases_[phase(-(tick_ + n))], ++n;
      most = n;
    }
  }
  ++counters_.events;
  StepMix mix{.decodes = static_cast<double>(decodes_),
              .verify = static_cast<double>(1 + limits_.guesses)};
  const auto time_at = [&](double steps) {
    mix.context = context_ + mix.decodes + steps * growth_;
    return step_(mix).value;
  };
  double first = time_at(0);
  while (most > 0 && clock_ < horizon) {
    // Step time is nearly linear in the context: take the longest stretch where it is.
    std::int64_t n = most;
    if (first * static_cast<double>(n) > horizon - clock_)
      n = std::min(n, static_cast<std::int64_t>((horizon - clock_) / first) + 1);
    double last = n > 1 ? time_at(static_cast<double>(n - 1)) : first;
    while (n > 16) {
      const double middle = time_at(static_cast<double>(n - 1) / 2);
      if (std::abs(middle - (first + last) / 2) <= 1e-3 * middle) break;
      n = n / 2 + 1;
      last = time_at(static_cast<double>(n - 1));
    }
    const double slope = n > 1 ? (last - first) / static_cast<double>(n - 1) : 0;
    const auto seconds = [&](std::int64_t k) {
      const auto x = static_cast<double>(k);
      return x * first + slope * x * (x - 1) / 2;
    };
    if (clock_ + seconds(n) > horizon) {  // the step that passes the horizon is the last
      std::int64_t low = 0, high = n;
      while (high - low > 1) {
        const std::int64_t mid = (low + high) / 2;
        (clock_ + seconds(mid) >= horizon ? high : low) = mid;
      }
      n = high;
    }
    advance(n, seconds(n), first, first + slope * static_cast<double>(n - 1));
    most -= n;
    if (most > 0 && clock_ < horizon) first = time_at(0);
  }
  finish_due();
}

void Replica::run_until(double horizon, bool stop_at_finish) {
  finished_.clear();
  constexpr double kNever = std::numeric_limits<double>::infinity();
  while (clock_ < horizon && !idle()) {
    if (can_schedule()) mixed_step();
    else jump(waiting_.empty() ? horizon : kNever);  // a blocked queue hides new arrivals
    if (order_.size() > 64 && order_.size() > 4 * static_cast<std::size_t>(running()))
      std::erase_if(order_, [&](const Joined& j) { return live_[j.id].epoch != j.epoch; });
    if (stop_at_finish && !finished_.empty()) return;
  }
}

}  // namespace kvroof::serving
