// What one step has to do: groups of equal requests that share the step.
#pragma once
#include <vector>

namespace kvroof {

/// `requests` requests, each with `s_q` new tokens after `cached` tokens already in the KV cache.
/// Decode: s_q = 1. Prefill: cached = 0. A chunk of a prefill: both > 0. Speculative verify:
/// s_q = k + 1.
struct RequestGroup {
  double requests = 1, s_q = 1, cached = 0;
  double logit_rows =
      1;  // rows of lm_head per request: 0 for a chunk that is not the last, s_q for verify
  constexpr double s_kv() const { return cached + s_q; }
  constexpr bool operator==(const RequestGroup&) const = default;
};

using StepLoad = std::vector<RequestGroup>;

}  // namespace kvroof
