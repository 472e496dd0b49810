#include "model/predict.hpp"

#include <algorithm>
#include <stdexcept>

#include "model/ops.hpp"
#include "model/shard.hpp"
#include "model/step_sums.hpp"

namespace kvroof {
namespace {

Launch launch_of(const Policy& p) { return p.cuda_graphs ? Launch::graph : Launch::stream; }

/// The floor keeps every stage busy.
StepTime through_pipeline(StepTime step, int stages, bool one_after_another) {
  if (stages == 1 || !one_after_another) return step;
  const double k = fill_and_drain(stages);
  step.expected *= k, step.spread *= k, step.gap = k * step.gap;
  step.gap.link += step.floor - (step.expected - step.gap.total());
  return step;
}

}  // namespace

StepLoad prefill_load(const OperatingPoint& w, double requests) {
  const double cached = std::min(w.prefix_hit * w.prompt, w.prompt - 1);
  return {{.requests = requests, .s_q = w.prompt - cached, .cached = cached}};
}

double fill_and_drain(int stages) { return (2.0 * stages - 1) / stages; }

StepLoad decode_load(const Setup& s) {
  const Parallelism& p = s.policy.parallel;
  const double requests = s.point.batch / p.data / p.pipeline;
  return {{.requests = requests, .s_q = 1, .cached = s.point.decode_context() - 1}};
}

ServiceTerms service_terms(const Setup& s) {
  return {.data = 1.0 * s.policy.parallel.data,
          .stages = 1.0 * s.policy.parallel.pipeline,
          .gpus = 1.0 * s.policy.parallel.gpus(),
          .step_base = s.engine.step_base.value,
          .step_per_request = s.engine.step_per_request.value,
          .gpu_hour_usd = s.machine.gpu_hour_usd,
          .lock_step = s.point.lock_step};
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
  p.ttft_step = alone.step;
  p.prefill = w.lock_step ? phase(s, l, prefill_load(w, replica_batch / par.pipeline)) : alone;
  p.prefill.step = through_pipeline(p.prefill.step, par.pipeline, w.lock_step);
  const ServiceTimes<double> t =
      service_times(service_terms(s), w.batch, w.output, p.decode.step.expected.value,
                    alone.step.expected.value, p.prefill.step.expected.value);
  p.ttft = Seconds{t.ttft}, p.tpot = Seconds{t.tpot}, p.e2e = Seconds{t.e2e};
  p.interference = Seconds{t.interference};
  const double spread =
      p.decode.step.spread.value + (p.interference > Seconds{}
                                        ? p.interference * (alone.step.spread / alone.step.expected)
                                        : Seconds{})
                                       .value;
  p.tpot_low = max(p.decode.step.floor, p.tpot - Seconds{spread});
  p.tpot_high = p.tpot + Seconds{spread};
  p.request_rate = t.request_rate;
  p.output_rate = Tokens{t.output_rate} / Seconds{1};
  p.usd_per_million_output_tokens = t.usd_per_million_output_tokens;
  return p;
}

}  // namespace kvroof
