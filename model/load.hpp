// What one step has to do: groups of equal requests that share the step.
#pragma once
#include <vector>

namespace kvroof {

/// `requests` requests, each with `s_q` new tokens after `cached` tokens already in the KV cache.
/// Decode: s_q = 1. Prefill: cached = 0. A chunk of a prefill: both > 0. Speculative verify: s_q = k + 1.
struct RequestGroup {
  double requests = 1, s_q = 1, cached = 0;
  bool needs_logits = true;  // one row of lm_head per request (speculative verify: s_q rows)
  constexpr double s_kv() const { return cached + s_q; }
  constexpr bool operator==(const RequestGroup&) const = default;
};

using StepLoad = std::vector<RequestGroup>;

}  // namespace kvroof
