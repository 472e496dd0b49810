#include "model/accuracy/service_times.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace kvroof::accuracy {
namespace {

double more(const Measurement& m, const char* key, double otherwise) {
  const auto it = m.more.find(key);
  return it == m.more.end() ? otherwise : it->second;
}

/// Mean over nominal length: uniform between the shortest and the nominal.
double mean_share(const Measurement& m) { return (1 + more(m, "shortest", 1)) / 2; }

/// Tokens per step of DeepSeek-R1 with `guesses` tokens of multi-token prediction, and 8 % of a
/// step for each: TensorRT-LLM's tech blog on R1 on 8 B200, 1.92 and 2.82 for 1 and 3 on its own
/// prompts. The random prompts of the public harness accept less: kRandomText of the extra tokens.
constexpr double kPerGuess = 0.08, kRandomText = 0.7;
double accepted_length(double guesses) {
  constexpr double kAccepted[] = {1, 1.92, 2.58, 2.82, 2.99, 3.01};
  const double published = kAccepted[static_cast<std::size_t>(std::clamp(guesses, 0.0, 5.0))];
  return 1 + kRandomText * (published - 1);
}

serving::Loop loop_of(const Setup& s, const Measurement& m, double running) {
  const double scale = mean_share(m);
  serving::Loop loop{.requests = running,
                     .prompt = scale * m.isl,
                     .output = scale * m.osl,
                     .context = scale * (m.isl + m.osl / 2),
                     .budget = 1.0 * s.policy.max_num_batched_tokens,
                     .alone = s.engine.prefill_alone,
                     .in_step = more(m, "shortest", 1) == 1,
                     .emitted = accepted_length(more(m, "mtp", 0))};
  if (m.more.count("one_prompt_per_step")) loop.budget = running + m.isl + 64;
  return loop;
}

/// Client, tokeniser and transport.
double latency(const EngineTraits& e, const Measurement& m) {
  return (e.request + m.isl * e.request_per_token).value + more(m, "client_latency", 0) +
         m.isl * more(m, "client_per_token", 0);
}

/// Steps until the engine looks for the request, half of the period and the running one's, and
/// until it answers.
double steps_waited(const Measurement& m) {
  return 1.5 * more(m, "poll_steps", 0) + more(m, "answer_steps", 0);
}

/// Step times of one setup.
class Steps {
 public:
  explicit Steps(const Setup& s) : setup_(s), lowering_(lower(s.llm, s.policy, s.machine)) {}
  double operator()(const serving::StepShare& step) const {
    const Seconds host = setup_.engine.step_base + step.requests * setup_.engine.step_per_request;
    return (phase(setup_, lowering_, step.load).step.expected + host).value;
  }

 private:
  const Setup& setup_;
  const Lowering lowering_;
};

/// Seconds of prompt work per prompt when many queue: steps filled to the budget.
double crowded_prompt(const Steps& step, const serving::Loop& loop, double decodes) {
  const double room = std::max(1.0, loop.budget - (loop.alone ? 0 : decodes));
  const double together = std::clamp(room / loop.prompt, 1.0, std::max(1.0, loop.requests));
  const serving::StepShare s = serving::prompt_step(loop, decodes, together);
  return s.per_token * step(s) / together;
}

constexpr std::string_view kCapped =
    "the engine capped its batch at a size that is not recorded: by the row's own TTFT and TPOT "
    "under 30 % of its requests ran";
constexpr std::string_view kBeyondLight =
    "the prompts are more than the stated GPUs compute at their datasheet peaks: replicas or "
    "cached prompts are not recorded";

}  // namespace

double running_requests(const Setup& s, const Measurement& m) {
  const double asked = m.concurrency / m.pool.dp;
  // A request holds its prompt and, on average over its life, half of its output; TensorRT-LLM
  // admits what is sure to finish.
  const double held = mean_share(m) * (m.isl + (s.engine.name == "trtllm" ? 1.0 : 0.5) * m.osl);
  const MemoryFit fit = memory_fit(s.llm, s.policy, s.engine, s.machine,
                                   {.requests = asked, .tokens_per_request = held});
  return fit.max_concurrency >= 1 ? std::min(asked, fit.max_concurrency) : asked;
}

bool capped(const Setup& s, const Measurement& m) {
  const double ran = more(m, "running_share", 1), asked = m.concurrency / m.pool.dp;
  return ran < 0.3 && 2 * ran * asked < running_requests(s, m);
}

bool beyond_light(const Setup& s, const Measurement& m) {
  const StepLoad prompts{RequestGroup{.requests = m.concurrency / m.pool.dp,
                                      .s_q = std::floor(mean_share(m) * m.isl)}};
  const Seconds light = phase(s, lower(s.llm, s.policy, s.machine), prompts).step.floor;
  return light.value > more(m, "cycle", INFINITY);
}

std::vector<serving::StepShare> closed_loop_steps(const Setup& s, const Measurement& m) {
  auto out = serving::closed_loop(loop_of(s, m, running_requests(s, m)));
  out[0].per_token *= 1 + kPerGuess * more(m, "mtp", 0);
  return out;
}

std::variant<ServedTimes, std::string> closed_loop_times(Context& context, const Measurement& m) {
  const auto setup = context.setup(m);
  if (const auto* reason = std::get_if<std::string>(&setup)) return *reason;
  const Setup& s = std::get<Setup>(setup);
  const Steps step(s);
  const double asked = m.concurrency / m.pool.dp, running = running_requests(s, m);
  if (capped(s, m)) return std::string(kCapped);
  if (beyond_light(s, m)) return std::string(kBeyondLight);
  const serving::Loop loop = loop_of(s, m, running);
  ServedTimes t;
  double decode = 0, load = 0;
  const auto shares = closed_loop_steps(s, m);
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const double each = step(shares[i]);
    if (i == 0) decode = each;
    else load = shares[i].per_token * each;
    t.tpot += shares[i].per_token * each;
  }
  load = std::min(0.95, load / t.tpot);

  const serving::StepShare own = serving::prompt_step(loop, std::max(0.0, running - 1));
  const double prompt = own.per_token * step(own);
  const double first_wave = (running + 1) / 2 * crowded_prompt(step, loop, running / 2);
  const double joining = decode + prompt + prompt * load / (2 * (1 - load));
  const double waves = more(m, "waves", 10);
  const double share = loop.alone && loop.in_step ? 1 : 1 / waves;
  t.ttft = latency(s.engine, m) + steps_waited(m) * t.tpot + share * std::max(first_wave, prompt) +
           (1 - share) * joining;
  if (running < asked) t.ttft += (asked / running - 1) * (prompt + loop.output * t.tpot);
  return t;
}

std::variant<ServedTimes, std::string> disaggregated_times(Context& context, const Measurement& m) {
  // Candidate layouts of the decode pool.
  std::vector<Pool> layouts{m.pool};
  if (m.pool.workers <= 0) {
    layouts.clear();
    const int gpus = m.pool.tp * m.pool.dp;
    for (const int tp : {1, 2, 4, 8, 16})
      if (tp <= gpus && gpus % tp == 0)
        for (const bool wide : {false, true})
          layouts.push_back({.workers = wide ? 1.0 : 1.0 * gpus / tp,
                             .tp = tp,
                             .dp = wide ? gpus / tp : 1,
                             .expert = wide || m.pool.expert});
  }
  Pool prefill = m.prefill.value_or(m.pool);
  const bool sized = prefill.workers > 0;
  prefill.workers = std::max(1.0, prefill.workers);
  const auto front = context.setup(m, prefill);
  if (const auto* reason = std::get_if<std::string>(&front)) return *reason;
  const Setup& p = std::get<Setup>(front);
  serving::Loop prompts = loop_of(p, m, m.concurrency);
  prompts.alone = true;
  const Steps prefill_step(p);
  const serving::StepShare own = serving::prompt_step(prompts, 0);
  const double prompt = own.per_token * prefill_step(own);
  const double each = crowded_prompt(prefill_step, prompts, 0) / (prefill.workers * prefill.dp);
  // A tenth of the requests come at once; a pool whose size is not recorded is taken to suffice.
  const double alone = latency(p.engine, m) + prompt + m.concurrency / 2 * each / 10;
  const double most = sized ? 1 / each : INFINITY;  // prompts per second

  std::variant<ServedTimes, std::string> best = std::string("no layout of the decode pool fits");
  for (const Pool& layout : layouts) {
    const auto back = context.setup(m, layout);
    if (const auto* reason = std::get_if<std::string>(&back)) {
      if (layouts.size() == 1) best = *reason;
      continue;
    }
    const Setup& d = std::get<Setup>(back);
    const Steps step(d);
    const double engines = layout.workers * layout.dp, output = mean_share(m) * m.osl;
    const auto tpot = [&](double requests) {
      serving::Loop l = loop_of(d, m, std::max(1.0, requests / engines));
      l.alone = true;
      return step(serving::closed_loop(l)[0]);
    };
    ServedTimes t;
    double decoding = m.concurrency;
    for (int i = 0; i < 40; ++i) {
      t.tpot = tpot(decoding);
      const double rate = std::min(most, m.concurrency / (alone + output * t.tpot));
      t.ttft = std::max(alone, m.concurrency / rate - output * t.tpot);
      decoding = 0.5 * decoding + 0.5 * std::min(m.concurrency, rate * output * t.tpot);
    }
    const auto* known = std::get_if<ServedTimes>(&best);
    if (!known || t.tpot < known->tpot) best = t;
  }
  return best;
}

}  // namespace kvroof::accuracy
