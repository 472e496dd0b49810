// Retrieval against long context: a short prompt of found passages, or the whole document.
#pragma once
#include "model/units.hpp"

namespace kvroof::serving {

/// Parameters used in matmuls per token and the shape of attention; enough for a prompt's price.
struct PromptModel {
  double params = 0, n_layers = 0, h_q = 0, d_qk = 0;
  BytesPerToken kv;
};

/// What a prompt of n tokens costs.
///   linear = 2·P·n     attention = 2·L·h_q·d·n² (causal)     kv = n·K_t
struct PromptCost {
  Flops linear, attention;
  Bytes kv;
  Flops flops() const { return linear + attention; }
};
PromptCost prompt_cost(const PromptModel& m, Tokens prompt);

/// Prompt cost of the long context over that of retrieval.
struct ContextRatio {
  double compute = 1, kv = 1;
};
ContextRatio long_context_over_retrieval(const PromptModel& m, Tokens long_context,
                                         Tokens retrieved);

}  // namespace kvroof::serving
