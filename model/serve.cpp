#include "model/serve.hpp"

#include <algorithm>
#include <memory>

#include "model/ops.hpp"
#include "model/serving/step_table.hpp"
#include "model/shard.hpp"
#include "model/user_error.hpp"

namespace kvroof {

serving::StepTime step_time(const Setup& s, double verify) {
  if (const std::string problem = sharding_problem(s.llm, s.policy.parallel); !problem.empty())
    throw UserError(problem);
  const auto lowering = std::make_shared<const Lowering>(lower(s.llm, s.policy, s.machine));
  const auto is_attention = [](const Op& op) {
    return op.op_class == OpClass::decode_attention || op.op_class == OpClass::prefill_attention;
  };
  // Attention of a load alone, or everything but it.
  const auto sum = [=](const StepLoad& load, bool attention) {
    const PhaseResult r = phase(s, *lowering, load);
    Seconds t;
    for (std::size_t i = 0; i < r.ops.size(); ++i)
      if (is_attention(r.ops[i]) == attention) t += r.times[i].expected;
    return t;
  };
  const Seconds base = s.engine.step_base, each = s.engine.step_per_request;
  const serving::StepParts parts{
      .linear =
          [=](double tokens) {
            return base + sum({{.requests = tokens, .s_q = 1, .cached = 1}}, false);
          },
      .decode =
          [=](double requests, double context) {
            return requests * each + sum({{.requests = requests,
                                           .s_q = verify,
                                           .cached = std::max(0.0, context - verify),
                                           .logit_rows = verify}},
                                         true);
          },
      .prefill =
          [=](double s_q, double cached) {
            return sum({{.requests = 1, .s_q = s_q, .cached = cached}}, true);
          }};
  const double longest = s.llm.max_positions > 0 ? s.llm.max_positions : 131072;
  return tabulate(parts, {.tokens = 1.0 * s.policy.max_num_batched_tokens,
                          .requests = 1.0 * s.policy.max_num_seqs,
                          .context = longest});
}

serving::Limits limits(const Setup& s, double tokens_per_request) {
  const MemoryFit fit = memory_fit(s.llm, s.policy, s.engine, s.machine,
                                   {.requests = 1, .tokens_per_request = tokens_per_request});
  if (!fit.fits) throw UserError("the service does not fit: " + fit.reason);
  return {.max_num_seqs = s.policy.max_num_seqs,
          .max_num_batched_tokens = s.policy.max_num_batched_tokens,
          .blocks = static_cast<std::int64_t>(fit.pool_tokens.value / s.policy.block_size),
          .block_size = s.policy.block_size};
}

}  // namespace kvroof
