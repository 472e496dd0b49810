#include "model/predict.hpp"

#include <algorithm>
#include <stdexcept>

#include "model/ops.hpp"
#include "model/serving/closed_loop.hpp"
#include "model/shard.hpp"

namespace kvroof {
namespace {

Launch launch_of(const Policy& p) { return p.cuda_graphs ? Launch::graph : Launch::stream; }

/// Prefill of `requests` prompts; the cached prefix is attended to but not computed, and the last
/// token of a prompt always is.
StepLoad prefill_load(const OperatingPoint& w, double requests) {
  const double cached = std::min(w.prefix_hit * w.prompt, w.prompt - 1);
  return {{.requests = requests, .s_q = w.prompt - cached, .cached = cached}};
}

/// The first stage's p micro-batches and the p − 1 stages behind the last of them: (2p − 1)/p times
/// one micro-batch through all layers. The floor keeps every stage busy.
StepTime through_pipeline(StepTime step, int stages, bool one_after_another) {
  if (stages == 1 || !one_after_another) return step;
  const double k = (2.0 * stages - 1) / stages;
  step.expected *= k, step.spread *= k, step.gap = k * step.gap;
  step.gap.link += step.floor - (step.expected - step.gap.total());
  return step;
}

/// What prompts of the others add to a token of one request. With pipeline stages a prompt's whole
/// time counts; otherwise the steps of the closed loop say what runs beside the decodes.
Seconds interference(const Setup& s, const Lowering& l, const PhaseResult& decode,
                     const PhaseResult& alone, Seconds host) {
  const OperatingPoint& w = s.point;
  const double requests = w.batch / s.policy.parallel.data;
  if (s.policy.parallel.pipeline > 1)
    return std::max(0.0, requests - 1) / w.output * (alone.step.expected + host);
  const double cached = std::min(w.prefix_hit * w.prompt, w.prompt - 1);
  const auto steps = serving::closed_loop({.requests = requests,
                                           .prompt = w.prompt - cached,
                                           .cached = cached,
                                           .output = w.output,
                                           .context = w.decode_context(),
                                           .budget = 1.0 * s.policy.max_num_batched_tokens,
                                           .alone = s.engine.prefill_alone});
  if (steps.size() < 2) return {};
  const Seconds plain = decode.step.expected + host;
  const Seconds with_prompts = phase(s, l, steps[1].load).step.expected + s.engine.step_base +
                               steps[1].requests * s.engine.step_per_request;
  return (steps[0].per_token - 1) * plain + steps[1].per_token * with_prompts;
}

}  // namespace

StepLoad decode_load(const Setup& s) {
  const Parallelism& p = s.policy.parallel;
  const double requests = s.point.batch / p.data / p.pipeline;
  return {{.requests = requests, .s_q = 1, .cached = s.point.decode_context() - 1}};
}

PhaseResult phase(const Setup& s, const Lowering& lowering, StepLoad load) {
  PhaseResult r;
  r.load = std::move(load);
  r.ops = ops(lowering, s.policy, r.load);
  const Launch launch = launch_of(s.policy);
  r.times.reserve(r.ops.size());
  for (const Op& op : r.ops) r.times.push_back(time(op, s.machine, launch));
  r.step = time(r.ops, s.machine, launch, s.policy.overlap_communication);
  r.work = total_work(r.ops);
  const MathType math = lowering.math_of(lowering.linear);
  r.mfu = r.work.flops / r.step.expected / s.machine.roof(math).peak;
  r.mbu = (r.work.read.weights + r.work.read.kv + r.work.written.kv) / r.step.expected /
          s.machine.hbm.peak;
  return r;
}

Prediction predict(const Setup& s) {
  const Parallelism& par = s.policy.parallel;
  if (const std::string problem = sharding_problem(s.llm, par); !problem.empty())
    throw std::invalid_argument(problem);
  const Lowering l = lower(s.llm, s.policy, s.machine);
  const OperatingPoint& w = s.point;

  Prediction p;
  p.gpus = par.gpus();
  const double replica_batch = w.batch / par.data;
  p.memory = memory_fit(s.llm, s.policy, s.engine, s.machine,
                        {.requests = replica_batch,
                         .tokens_per_request = std::max(
                             w.decode_context(), w.prompt + (w.context > 0 ? 0 : w.output))});
  p.decode = phase(s, l, decode_load(s));

  // One request alone: its prompt passes all stages one after the other.
  const PhaseResult alone = phase(s, l, prefill_load(w, 1));
  const Seconds host = s.engine.step_base + w.batch / par.data * s.engine.step_per_request;
  p.ttft_step = alone.step;
  p.ttft = alone.step.expected + host;
  p.prefill = w.lock_step ? phase(s, l, prefill_load(w, replica_batch / par.pipeline)) : alone;
  p.prefill.step = through_pipeline(p.prefill.step, par.pipeline, w.lock_step);

  // While one request generates `output` tokens each of the others on its replica prefills once.
  if (!w.lock_step && w.output > 0) p.interference = interference(s, l, p.decode, alone, host);
  p.tpot = p.decode.step.expected + host + p.interference;
  const double spread =
      p.decode.step.spread.value + (p.interference > Seconds{}
                                        ? p.interference * (alone.step.spread / alone.step.expected)
                                        : Seconds{})
                                       .value;
  p.tpot_low = max(p.decode.step.floor, p.tpot - Seconds{spread});
  p.tpot_high = p.tpot + Seconds{spread};
  const Seconds first = w.lock_step ? p.prefill.step.expected + host : p.ttft;
  p.e2e = first + std::max(0.0, w.output - 1) * p.tpot;
  p.request_rate = w.batch / p.e2e.value;
  p.output_rate = w.lock_step ? Tokens{w.batch} / p.tpot : Tokens{w.batch * w.output} / p.e2e;
  p.usd_per_million_output_tokens =
      p.gpus * s.machine.gpu_hour_usd / 3600.0 / p.output_rate.value * mega;
  return p;
}

}  // namespace kvroof
