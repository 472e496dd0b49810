#include "model/accuracy/silicon_row.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

#include "model/user_error.hpp"

namespace kvroof::accuracy {
namespace {

/// Shortest over longest length of the row's requests.
double shortest(const Measurement& m) {
  const auto it = m.more.find("shortest");
  return it == m.more.end() ? 1 : it->second;
}

/// Tokens per step of DeepSeek-R1 with `guesses` tokens of multi-token prediction, and 8 % of a
/// step for each: TensorRT-LLM's tech blog on R1 on 8 B200.
double accepted_length(double guesses) {
  static const double scale = getenv("ACC") ? atof(getenv("ACC")) : 1;
  double kAccepted[] = {1, 1.92, 2.58, 2.82, 2.99, 3.01};
  if (guesses > 0) return 1 + scale * (kAccepted[static_cast<std::size_t>(guesses)] - 1);
  return kAccepted[static_cast<std::size_t>(std::clamp(guesses, 0.0, 5.0))];
}

std::string answer_in(const Measurement& m, const Pool& p) {
  return fmt::format("{} x tp{} pp{} dp{}{}", p.workers, p.tp, p.pp, p.dp, p.expert ? " ep" : "") +
         fmt::format(" b{}", m.mode == Mode::disaggregated ? p.batch : 0.0);
}

}  // namespace

int gpus_of_tag(std::string_view id) {
  // The last "_tp" that digits follow.
  for (std::size_t at = id.rfind("_tp"); at != std::string_view::npos && at > 0;
       at = id.rfind("_tp", at - 1)) {
    int n = 0;
    const char* first = id.data() + at + 3;
    const auto [end, error] = std::from_chars(first, id.data() + id.size(), n);
    if (error == std::errc{} && end != first && n > 0 && n < 4096) return n;
  }
  return 0;
}

Layout untangle(Layout c, int tag) {
  const int product = c.tp * c.pp * c.dp;
  int gpus = tag;
  if (gpus == 0) {
    const int root = static_cast<int>(std::lround(std::sqrt(product)));
    const bool square = root > 1 && root * root == product &&
                        ((c.moe_tp == c.moe_ep && c.moe_tp == root) || (c.tp == c.dp));
    gpus = square ? root : product;
  }
  Layout out = c;
  out.expert = c.moe_ep > 1;
  out.dp = c.dp > 1 ? gpus : 1;
  out.tp = c.dp > 1 ? 1 : std::max(1, gpus / c.pp);
  return out;
}

std::string configuration_of(const Measurement& m) {
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", m.hardware, m.engine, m.llm,
                     name(m.weights.value_or(Dtype::bf16)), name(m.mode), answer_in(m, m.pool),
                     m.prefill ? answer_in(m, *m.prefill) : "", m.isl, m.osl, m.concurrency);
}

double running_requests(const Setup& s, const Measurement& m) {
  const double asked = m.concurrency / m.pool.dp, scale = (1 + shortest(m)) / 2;
  // A request holds its prompt and, on average over its life, half of its output; TensorRT-LLM
  // admits what is sure to finish.
  const double held = scale * (m.isl + (s.engine.name == "trtllm" ? 1.0 : 0.5) * m.osl);
  const MemoryFit fit = memory_fit(s.llm, s.policy, s.engine, s.machine,
                                   {.requests = asked, .tokens_per_request = held});
  return fit.max_concurrency >= 1 ? std::min(asked, fit.max_concurrency) : asked;
}

std::vector<serving::StepShare> closed_loop_steps(const Setup& s, const Measurement& m) {
  const double scale = (1 + shortest(m)) / 2, running = running_requests(s, m);
  const auto mtp = m.more.find("mtp");
  const double guesses = mtp == m.more.end() ? 0 : mtp->second;
  serving::Loop loop{.requests = running,
                     .prompt = scale * m.isl,
                     .output = scale * m.osl,
                     .context = scale * (m.isl + m.osl / 2),
                     .budget = 1.0 * s.policy.max_num_batched_tokens,
                     .alone = s.engine.prefill_alone,
                     .in_step = shortest(m) == 1,
                     .emitted = accepted_length(guesses)};
  if (m.more.count("one_prompt_per_step")) loop.budget = running + m.isl + 64;
  auto out = serving::closed_loop(loop);
  out[0].per_token *= 1 + 0.08 * guesses;
  return out;
}

Answer answer_silicon(Context& context, const Measurement& m) {
  auto setup = context.setup(m);
  if (auto* reason = std::get_if<std::string>(&setup)) return *reason;
  Setup& s = std::get<Setup>(setup);
  s.point = {.batch = m.concurrency, .prompt = m.isl, .output = m.osl};
  try {
    const Prediction p = predict(s);
    return m.metric == "ttft" ? p.ttft.value : p.tpot.value;
  } catch (const std::exception& e) {
    return std::string(e.what());
  }
}

}  // namespace kvroof::accuracy
