// TTFT and TPOT of a published closed-loop run: the engine's steps, the burst at its start, and
// what waits for the cache or for the prefill pool.
#pragma once
#include <string>
#include <variant>
#include <vector>

#include "model/accuracy/context.hpp"
#include "model/serving/closed_loop.hpp"

namespace kvroof::accuracy {

struct ServedTimes {
  double ttft = 0, tpot = 0;  // means over requests, seconds
};

/// Requests of one replica that run at once: all, or what its cache holds.
double running_requests(const Setup& setup, const Measurement& m);

/// Whether the row itself says, by Little's law on its TTFT and TPOT, that under 30 % of its
/// requests ran where the cache holds at least twice as many: a cap that is not recorded.
bool capped(const Setup& setup, const Measurement& m);

/// Whether the prompts of all requests take longer at the speed of light than the row says one
/// request lasts: replicas or cached prompts are not recorded.
bool beyond_light(const Setup& setup, const Measurement& m);

/// The steps of the row's closed loop: mean lengths, the requests that fit the cache at once,
/// speculative tokens.
std::vector<serving::StepShare> closed_loop_steps(const Setup& setup, const Measurement& m);

/// tpot = Σ steps per token · step time.
/// ttft = the engine's own latency
///        + of the first wave (one in `waves` requests): half of the prompts before it
///        + of the others: the running step, the prompt's own steps, and prompts queued before it,
///          an M/D/1 queue whose load is the share of steps with prompts
///        + where the cache holds fewer than are in flight, the wait for one of them to end.
/// Requests in step on an engine that computes prompts alone are always a first wave.
std::variant<ServedTimes, std::string> closed_loop_times(Context& context, const Measurement& m);

/// Prefill and decode pools. The decode batch is what the closed loop leaves to it:
/// c = X (ttft + output · tpot) with X at most what the prefill pool sustains. A pool whose workers
/// are not recorded is cut as its operator would: into the layout with the least TPOT.
std::variant<ServedTimes, std::string> disaggregated_times(Context& context, const Measurement& m);

}  // namespace kvroof::accuracy
