// What the simulator asks of the performance model: how long one step takes.
#pragma once
#include <functional>

#include "model/units.hpp"

namespace kvroof::serving {

/// One iteration of the scheduler.
///   decodes         requests that generate, each with `verify` tokens (1 + guesses)
///   context         Σ s_kv over them
///   prefill_tokens  prompt tokens computed in this step, of `prefills` requests
///   prefill_pairs   Σ over chunks of new·(cached + new/2), the causal query-key pairs
struct StepMix {
  double decodes = 0, context = 0, verify = 1;
  double prefills = 0, prefill_tokens = 0, prefill_pairs = 0;
};

using StepTime = std::function<Seconds(const StepMix&)>;

}  // namespace kvroof::serving
