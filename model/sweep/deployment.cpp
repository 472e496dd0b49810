#include "model/sweep/deployment.hpp"

#include <algorithm>
#include <stdexcept>

#include "model/ops.hpp"
#include "model/shard.hpp"

namespace kvroof::sweep {
namespace {

Lowering checked(const Setup& s) {
  if (const std::string problem = sharding_problem(s.llm, s.policy.parallel); !problem.empty())
    throw std::invalid_argument(problem);
  return lower(s.llm, s.policy, s.machine);
}

bool is_attention(const Op& op) { return op.op_class == OpClass::decode_attention; }

StepSums<double> sums_of(const std::vector<Op>& ops, bool attention, const Machine& m,
                         Launch launch) {
  StepSums<double> s{};
  for (const Op& op : ops) {
    if (is_attention(op) != attention) continue;
    const OpTime t = time(op, m, launch);
    s.floor += t.floor.value, s.link_floor += t.link_floor.value;
    (op.op_class == OpClass::collective ? s.link_expected : s.busy) += t.expected.value;
  }
  return s;
}

}  // namespace

Deployment::Deployment(Setup setup)
    : setup_(std::move(setup)),
      lowering_(checked(setup_)),
      launch_(setup_.policy.cuda_graphs ? Launch::graph : Launch::stream),
      terms_(service_terms(setup_)) {
  const MemoryFit least = memory_fit(setup_.llm, setup_.policy, setup_.engine, setup_.machine,
                                     {.requests = 0, .tokens_per_request = 1});
  any_pool_ = least.pool > Bytes{};
  without_attention(1), attention(1, 2);  // throw now where the machine lacks a unit
}

const StepSums<double>& Deployment::without_attention(double requests) {
  const auto [at, fresh] = without_attention_.try_emplace(requests);
  if (fresh) {
    load_[0] = {.requests = requests, .s_q = 1, .cached = 1};
    at->second = sums_of(ops(lowering_, setup_.policy, load_), false, setup_.machine, launch_);
  }
  return at->second;
}

const StepSums<double>& Deployment::attention(double requests, double context) {
  if (requests != last_requests_ || context != last_context_) {
    load_[0] = {.requests = requests, .s_q = 1, .cached = context - 1};
    attention_ops(lowering_, setup_.policy, load_, ops_);
    last_attention_ = sums_of(ops_, true, setup_.machine, launch_);
    last_requests_ = requests, last_context_ = context;
  }
  return last_attention_;
}

double Deployment::prefill(double tokens, double prefix_hit, double requests) const {
  const OperatingPoint point{.prompt = tokens, .prefix_hit = prefix_hit};
  return phase(setup_, lowering_, prefill_load(point, requests)).step.expected.value;
}

double Deployment::alone(const Prompt& prompt) {
  const auto [at, fresh] = alone_.try_emplace(prompt);
  if (fresh) at->second = prefill(prompt.tokens, prompt.prefix_hit, 1);
  return at->second;
}

double Deployment::max_concurrency(double tokens) {
  if (!any_pool_) return 0;
  const auto [at, fresh] = concurrency_.try_emplace(tokens);
  if (fresh)
    at->second = memory_fit(setup_.llm, setup_.policy, setup_.engine, setup_.machine,
                            {.requests = 0, .tokens_per_request = tokens})
                     .max_concurrency;
  return at->second;
}

Block Deployment::evaluate(const Points& x) {
  const Parallelism& p = setup_.policy.parallel;
  const bool lock_step = setup_.point.lock_step;
  // What the engine lets run at once, as for a single scenario; the others queue.
  Lanes batch = x.batch;
  if (!lock_step) batch = batch.min(1.0 * setup_.policy.max_num_seqs * p.data);
  const Lanes middle = (x.context > 0.0).select(x.context, x.prompt + 0.5 * x.output);
  const Lanes requests = batch / p.data / p.pipeline, per_replica = batch / p.data;
  const Lanes longest =
      (x.context > 0.0).select(middle.max(x.prompt), middle.max(x.prompt + x.output));

  StepSums<Lanes> step;
  Lanes one, together, pool;
  for (int i = 0; i < kLanes; ++i) {
    StepSums<double> s = without_attention(requests[i]);
    s += attention(requests[i], middle[i]);
    step.floor[i] = s.floor, step.busy[i] = s.busy;
    step.link_floor[i] = s.link_floor, step.link_expected[i] = s.link_expected;
    one[i] = alone({x.prompt[i], x.prefix_hit[i]});
    together[i] = lock_step ? prefill(x.prompt[i], x.prefix_hit[i], requests[i]) : one[i];
    pool[i] = max_concurrency(longest[i]);
  }
  if (lock_step && p.pipeline > 1) together *= fill_and_drain(p.pipeline);

  const Lanes decode = step.step_expected(setup_.policy.overlap_communication);
  const ServiceTimes<Lanes> t =
      service_times<Lanes>(terms_, batch, x.output, decode, one, together);
  Block b;
  b.fits = pool > 0.0 && pool >= per_replica;
  b[Column::ttft] = t.ttft, b[Column::tpot] = t.tpot, b[Column::e2e] = t.e2e;
  b[Column::decode] = decode, b[Column::decode_floor] = step.step_floor();
  b[Column::output_rate] = t.output_rate;
  b[Column::output_rate_per_gpu] = t.output_rate / terms_.gpus;
  b[Column::rate_per_user] = t.tpot.inverse();
  b[Column::request_rate] = t.request_rate;
  b[Column::usd] = t.usd_per_million_output_tokens;
  b[Column::kv_share] = per_replica / pool.max(1e-300);
  return b;
}

}  // namespace kvroof::sweep
