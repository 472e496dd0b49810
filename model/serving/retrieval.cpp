#include "model/serving/retrieval.hpp"

namespace kvroof::serving {

PromptCost prompt_cost(const PromptModel& m, Tokens prompt) {
  const double n = prompt.value;
  return {.linear = Flops{2 * m.params * n},
          .attention = Flops{2 * m.n_layers * m.h_q * m.d_qk * n * n},
          .kv = prompt * m.kv};
}

ContextRatio long_context_over_retrieval(const PromptModel& m, Tokens long_context,
                                         Tokens retrieved) {
  const PromptCost a = prompt_cost(m, long_context), b = prompt_cost(m, retrieved);
  return {.compute = a.flops() / b.flops(), .kv = a.kv / b.kv};
}

}  // namespace kvroof::serving
