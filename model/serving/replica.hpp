// One engine: an iteration-level scheduler as in vLLM V1, advanced in jumps.
#pragma once
#include <deque>
#include <optional>
#include <queue>
#include <vector>

#include "model/serving/buddy_pool.hpp"
#include "model/serving/gaps.hpp"
#include "model/serving/kv_pool.hpp"
#include "model/serving/request.hpp"
#include "model/serving/rng.hpp"
#include "model/serving/step.hpp"

namespace kvroof::serving {

struct Limits {
  std::int64_t max_num_seqs = 256;
  std::int64_t max_num_batched_tokens = 8192;
  std::int64_t blocks = 0;  // the KV pool
  std::int64_t block_size = 16;
  std::int64_t reserve = 0;  // > 0: every request takes room for this many tokens (no paging)
  bool buddy =
      false;  // every request takes a contiguous power of two of blocks for its final length
  double watermark = 0;  // share of blocks left free when a request joins others
  bool chunked_prefill = true;
  bool prefix_caching = true;
  double prefix_hit_rate = 0;  // for traffic without hashes; saves work, not memory
  bool prefilled = false;      // prompts arrive with their cache: a decode pool
  int guesses = 0;             // speculative tokens per step
  double acceptance = 0;
  Seconds swap_per_token;  // > 0: a preempted cache goes to the host and back, else recompute
};

/// What happened to one request. Times are in seconds since the start of the traffic.
struct Record {
  double arrival = 0, first_token = -1, finish = -1;
  std::int32_t prompt = 0, output = 0;
  std::int32_t preemptions = 0, cached = 0;  // cached: prompt tokens not computed, first time
};

struct Counters {
  std::int64_t steps = 0, events = 0, preemptions = 0, peak_blocks = 0, peak_waiting = 0;
  double busy = 0;                              // seconds in steps
  double decode_slots = 0;                      // Σ over steps of decoding requests
  double decode_steps = 0;                      // steps with at least one
  double block_seconds = 0, token_seconds = 0;  // cache held, cache holding tokens
  double block_steps = 0, token_steps = 0;      // the same summed over steps, in tokens
};

/// Order within a step follows vLLM V1: decodes first, then chunks of running prompts, then waiting
/// requests in order of arrival while budget, slots and blocks last. A decode that finds no block
/// preempts the request that joined last, and nothing joins in that step. A prompt takes the blocks
/// of its whole length when it joins. With guesses a request takes its final length when it joins.
///
/// Between joins and leaves all requests grow by one token per step, so a stretch of steps is one
/// jump: a request's end is a step number, and blocks are crossed by all requests of the same
/// (length − step) mod block_size at once. Cost is O(log batch + block_size) per event.
class Replica {
 public:
  Replica(const Limits& limits, const StepTime& step, const Trace& trace,
          std::vector<Record>& records, std::uint64_t seed);

  void submit(std::int32_t id, double now);
  /// Runs until `horizon`, or until some request finished if `stop_at_finish`; then finished()
  /// lists them. A step that began before the horizon is completed.
  void run_until(double horizon, bool stop_at_finish = false);
  const std::vector<std::int32_t>& finished() const { return finished_; }

  bool idle() const { return waiting_.empty() && running() == 0; }
  double clock() const { return clock_; }
  std::int64_t waiting() const { return static_cast<std::int64_t>(waiting_.size()); }
  std::int64_t running() const { return decodes_ + static_cast<std::int64_t>(prefilling_.size()); }
  const KvPool& pool() const { return pool_; }
  const Counters& counters() const { return counters_; }
  const Gaps& gaps() const { return gaps_; }

 private:
  struct Live {
    std::int32_t emitted = 0, done = 0;  // output tokens so far; prompt tokens computed now
    std::int32_t blocks = 0;             // own blocks, hashed units not counted
    std::uint32_t epoch = 0;             // changes at every join and leave
    std::int64_t start = 0, finish = 0;  // ticks of the present decode stretch
    std::int64_t address = 0;            // of its piece, under buddy allocation
    double paused = 0;                   // when it was preempted, about when its last token came
    bool swapped = false, shares = false;
  };
  struct Ending {
    std::int64_t tick;
    std::int32_t id;
    std::uint32_t epoch;
    bool operator>(const Ending& o) const { return tick != o.tick ? tick > o.tick : id > o.id; }
  };
  struct Joined {
    std::int32_t id;
    std::uint32_t epoch;
  };

  bool paged() const { return limits_.reserve == 0 && limits_.guesses == 0 && !limits_.buddy; }
  std::span<const std::int64_t> units(std::int32_t id) const;
  std::int64_t length(std::int32_t id) const;  // tokens in the cache once its prefill is complete
  std::int64_t blocks_for(std::int64_t tokens) const;
  std::int64_t crossings(std::int64_t ticks) const;
  std::size_t phase(std::int64_t length_minus_tick) const;
  std::int64_t steps_for(std::int64_t tokens);

  bool joins(std::int32_t id, std::int64_t budget, bool first_prefill);
  void join(std::int32_t id);
  void leave(std::int32_t id);
  bool make_room();
  void preempt_last();
  void begin_decode(std::int32_t id);
  void advance(std::int64_t ticks, double seconds, double first, double last);
  void finish_due();
  bool can_schedule();
  void mixed_step();
  void jump(double horizon);
  double tokens_held() const { return context_ + prefill_held_; }

  const Limits limits_;
  const StepTime& step_;
  const Trace& trace_;
  std::vector<Record>& records_;
  Rng rng_;
  KvPool pool_;
  std::optional<BuddyPool> buddy_;
  std::vector<Live> live_;
  std::deque<std::int32_t> waiting_;
  std::vector<std::int32_t> prefilling_;
  std::priority_queue<Ending, std::vector<Ending>, std::greater<>> endings_;
  std::vector<Joined> order_;
  std::vector<std::int64_t> phases_;
  std::vector<std::int32_t> finished_;
  std::int64_t tick_ = 0, decodes_ = 0;
  double clock_ = 0, context_ = 0, growth_ = 0, prefill_held_ = 0, expected_ = 1;
  Counters counters_;
  Gaps gaps_;
};

}  // namespace kvroof::serving
