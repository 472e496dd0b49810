// Where counters are known to differ from the model, how far, and why. What is not in this table,
// or goes further than it allows, fails `kvroof-probe validate`.
#pragma once
#include <span>
#include <string_view>

#include "cupti_probe/judge.hpp"

namespace kvroof::probe {

///   kernel     name in the catalogue
///   quantity   as in Check, or as in KernelSummary's lines
///   when       "b=1 causal=1": arguments that the shape must have; empty: every shape
///   limit      |measured / predicted - 1| that the reason explains; of a summary line, the error
struct Exception {
  std::string_view kernel, quantity, when;
  double limit;
  std::string_view reason;
};

std::span<const Exception> exceptions();

/// A check that is off becomes `known`, with the reason as its note, if an exception covers it.
///   args   "b=1 d=128": the shape, as records print it
Check excused(Check check, std::string_view kernel, std::string_view args,
              std::span<const Exception> table = exceptions());

}  // namespace kvroof::probe
