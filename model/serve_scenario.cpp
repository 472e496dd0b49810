#include "model/serve_scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "model/serve.hpp"
#include "model/serving/arrivals.hpp"
#include "model/serving/cost.hpp"
#include "model/serving/traces.hpp"
#include "model/user_error.hpp"

namespace kvroof {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

serving::LengthDistribution distribution(const Lengths& l, const char* name) {
  serving::LengthDistribution d{
      .mean = l.mean_tokens(), .min = l.min.value_or(1), .max = l.max.value_or(1e6)};
  switch (l.distribution) {
    case LengthKind::fixed:
      d.shape = serving::LengthShape::fixed;
      break;
    case LengthKind::exponential:
      d.shape = serving::LengthShape::exponential;
      break;
    case LengthKind::uniform:
      if (!l.min || !l.max)
        throw UserError(
            fmt::format("workload.{}: expected min and max with a uniform distribution", name));
      d.shape = serving::LengthShape::uniform;
      break;
    case LengthKind::lognormal: {
      d.shape = serving::LengthShape::lognormal;
      if (!l.p95)
        throw UserError(
            fmt::format("workload.{}: expected p95 with a lognormal distribution", name));
      if (l.p50) {
        d.sigma = serving::lognormal_sigma(*l.p50, *l.p95);
      } else {  // p95/mean = exp(z·sigma − sigma²/2)
        const double z = 1.6448536269514722, root = z * z - 2 * std::log(*l.p95 / d.mean);
        if (root < 0)
          throw UserError(fmt::format("workload.{}: no lognormal has this mean and p95", name));
        d.sigma = z - std::sqrt(root);
      }
      if (!(d.sigma >= 0))
        throw UserError(fmt::format("workload.{}: expected p95 above the middle", name));
    }
  }
  return d;
}

/// Draft time per guess over a plain target step.
double draft_cost(const Speculative& s) {
  if (s.draft_cost) return *s.draft_cost;
  switch (s.method) {
    case DraftMethod::medusa:
    case DraftMethod::ngram:
      return 0;  // the heads run inside the step; a look-up is free
    case DraftMethod::self_speculative:
      if (s.layers_share) return *s.layers_share;
      break;
    default:
      break;
  }
  throw UserError(
      "speculative.draft_cost: expected the time of one draft token over one target step");
}

/// Every step drafts g tokens for each decoding request and verifies g + 1 at once.
serving::StepTime speculative_step(const Setup& setup, const Speculative& s) {
  const double c = draft_cost(s), g = s.num_speculative_tokens;
  return [plain = step_time(setup), verify = step_time(setup, 1 + g), c,
          g](const serving::StepMix& m) {
    if (m.decodes <= 0) return plain(m);
    const Seconds draft = plain({.decodes = m.decodes, .context = m.context});
    return verify(m) + g * c * draft;
  };
}

serving::Limits scheduled_limits(const Scenario& s, const Setup& setup,
                                 const serving::Trace& trace) {
  double tokens = 0;
  for (const serving::Request& r : trace.requests)
    tokens += r.prompt + static_cast<double>(r.output);
  serving::Limits l = limits(setup, tokens / static_cast<double>(trace.requests.size()));
  const Scheduler& how = s.scheduler;
  l.chunked_prefill = how.chunked_prefill;
  l.prefix_caching = how.prefix_caching;
  l.watermark = how.watermark;
  l.prefix_hit_rate = how.prefix_caching ? s.workload.prefix_hit_rate : 0;
  l.buddy = how.kv_allocation == KvAllocation::buddy;
  if (how.kv_allocation == KvAllocation::reserved)
    l.reserve =
        setup.policy.max_model_len > 0 ? setup.policy.max_model_len : setup.llm.max_positions;
  if (how.preemption == Preemption::swap) {
    const MemoryFit fit = memory_fit(setup.llm, setup.policy, setup.engine, setup.machine, {});
    const double ranks = setup.policy.parallel.tensor * setup.policy.parallel.pipeline;
    l.swap_per_token = Tokens{1} * fit.kv_per_token / (ranks * setup.machine.pcie.bandwidth);
  }
  // p pipeline stages hold p batches that pass through them one behind the other: p engines, each
  // with its share of the cache and the slots, whose steps take all stages.
  const int stages = setup.policy.parallel.pipeline;
  l.blocks /= stages, l.max_num_seqs = std::max<std::int64_t>(1, l.max_num_seqs / stages);
  if (s.speculative) {
    if (s.speculative->max_batch > 0)
      throw UserError("speculative.max_batch: the simulator speculates at any batch, expected 0");
    l.guesses = s.speculative->num_speculative_tokens;
    l.acceptance = s.speculative->acceptance;
  }
  return l;
}

/// A static batch holds all its requests until the longest output ends, each with its own prompt or
/// padded to the longest.
void static_batch_fits(const serving::Limits& l, bool padded, const serving::Trace& trace) {
  const auto size = static_cast<std::size_t>(l.max_num_seqs);
  for (std::size_t first = 0; first < trace.requests.size(); first += size) {
    const std::size_t end = std::min(first + size, trace.requests.size());
    std::int64_t prompt = 0, prompts = 0, output = 0;
    for (std::size_t i = first; i < end; ++i) {
      prompt = std::max<std::int64_t>(prompt, trace.requests[i].prompt);
      prompts += static_cast<std::int64_t>(trace.requests[i].prompt);
      output = std::max<std::int64_t>(output, trace.requests[i].output);
    }
    const auto held = static_cast<std::int64_t>(end - first);
    const std::int64_t need = (padded ? held * prompt : prompts) + held * output;
    if (need > l.blocks * l.block_size)
      throw UserError(fmt::format(
          "serving.max_num_seqs: a static batch of {} needs {} tokens of cache, the pool holds {}",
          end - first, need, l.blocks * l.block_size));
  }
}

Bandwidth link_bandwidth(const Machine& m, LinkKind kind) {
  switch (kind) {
    case LinkKind::nvlink:
      return m.nvlink.bandwidth;
    case LinkKind::pcie:
      return m.pcie.bandwidth;
    case LinkKind::nic:
      return m.nic.bandwidth;
  }
  return {};
}

/// Splits the GPUs into two pools; the transfer uses the link of every GPU of the smaller cut.
void add_pools(const Scenario& s, Setup prefill, Setup& decode, const serving::Trace& trace,
               serving::Simulation& sim) {
  const Disaggregation& d = *s.disaggregation;
  const auto cut = [](Setup& setup, std::optional<int> tensor, int gpus, const char* pool) {
    if (tensor) setup.policy.parallel.tensor = *tensor;
    setup.policy.parallel.data = 1;
    const int each = setup.policy.parallel.gpus();
    if (gpus < each || gpus % each != 0)
      throw UserError(fmt::format(
          "disaggregation.{}_gpus: expected a multiple of the {} GPUs of one engine, got {}", pool,
          each, gpus));
    return gpus / each * setup.policy.parallel.pipeline;
  };
  sim.prefill.replicas = cut(prefill, d.prefill_tensor_parallel_size, d.prefill_gpus, "prefill");
  sim.replicas = cut(decode, d.decode_tensor_parallel_size, d.decode_gpus, "decode");
  sim.prefill.limits = scheduled_limits(s, prefill, trace);
  sim.prefill.limits.guesses = 0;
  sim.prefill.step = step_time(prefill);
  const MemoryFit fit =
      memory_fit(prefill.llm, prefill.policy, prefill.engine, prefill.machine, {});
  Bandwidth link = link_bandwidth(prefill.machine, d.link);
  for (const Machine* m : {&prefill.machine, &decode.machine}) {
    if (link_bandwidth(*m, d.link) <= Bandwidth{})
      throw UserError("disaggregation.link: " + m->id + " has no figure for this link");
    link = min(link, link_bandwidth(*m, d.link));
  }
  const double lanes = std::min(prefill.policy.parallel.tensor, decode.policy.parallel.tensor);
  sim.prefill.transfer_per_token = Tokens{1} * fit.kv_per_token / (lanes * link);
  sim.prefill.transfer_state = fit.state_per_request / (lanes * link);
  sim.prefill.n_layers = std::max(1, prefill.llm.n_layers());
}

}  // namespace

Objectives objectives(const Slo& slo) {
  Objectives o{kNone, kNone};
  for (const SloPreset& p : slo_presets())
    if (p.name == slo.preset) o = {p.ttft_p99_ms * milli, p.tpot_p99_ms * milli};
  if (slo.ttft_ms.p99) o.ttft_p99 = *slo.ttft_ms.p99 * milli;
  if (slo.tpot_ms.p99) o.tpot_p99 = *slo.tpot_ms.p99 * milli;
  if (!(o.ttft_p99 > 0) || !(o.tpot_p99 > 0)) throw UserError("slo: expected times > 0");
  return o;
}

serving::Trace traffic(const Scenario& s) {
  const Workload& w = s.workload;
  if (const std::string& file = w.input_len.trace; !file.empty()) {
    if (w.output_len.trace != file)
      throw UserError("workload.output_len: expected the same trace as input_len, " + file);
    const std::filesystem::path path = std::filesystem::path(s.folder) / file;
    serving::Trace t = serving::load_trace(std::filesystem::exists(path) ? path.string() : file);
    serving::spread_equal_stamps(t);
    if (w.request_rate) {
      if (!(*w.request_rate > 0)) throw UserError("workload.request_rate: expected a rate > 0");
      if (const double own = serving::arrival_stats(t).rate; own > 0)
        serving::speed_up(t, *w.request_rate / own);
    }
    return t;
  }
  if (!w.output_len.trace.empty())
    throw UserError("workload.input_len: expected the same trace as output_len");
  if (!w.input_len.given() || !w.output_len.given())
    throw UserError("workload: expected input_len and output_len, or a trace");
  if (!w.request_rate && !w.max_concurrency)
    throw UserError("workload: expected request_rate or max_concurrency");
  if (w.request_rate && !(*w.request_rate > 0))
    throw UserError("workload.request_rate: expected a rate > 0");
  return serving::synthesise({.requests = static_cast<std::int64_t>(w.num_requests),
                              .rate = w.max_concurrency ? 0 : *w.request_rate,
                              .burstiness = w.burstiness,
                              .prompt = distribution(w.input_len, "input_len"),
                              .output = distribution(w.output_len, "output_len"),
                              .seed = static_cast<std::uint64_t>(w.seed)});
}

ServiceRun simulate_scenario(const Scenario& s, const Setup& given, const Setup* prefill,
                             const std::function<void(double, double)>& progress) {
  const Objectives slo = objectives(s.slo);
  const serving::Trace trace = traffic(s);
  Setup setup = given;
  ServiceRun run;
  serving::Simulation sim;
  sim.replicas = setup.policy.parallel.data * setup.policy.parallel.pipeline;
  sim.seed = static_cast<std::uint64_t>(s.workload.seed), sim.progress = progress;
  double price = setup.machine.gpu_hour_usd;  // of a GPU, the mean where there are two kinds
  run.gpus = setup.policy.parallel.gpus();
  if (s.workload.max_concurrency) {
    if (s.workload.request_rate)
      throw UserError("workload: expected request_rate or max_concurrency, got both");
    sim.concurrency = static_cast<std::int64_t>(*s.workload.max_concurrency);
  }
  if (s.disaggregation) {
    const Disaggregation& d = *s.disaggregation;
    if (!prefill && !d.prefill_hardware.empty() && d.prefill_hardware != s.hardware)
      throw UserError("disaggregation.prefill_hardware: expected its setup beside the scenario's");
    add_pools(s, prefill ? *prefill : setup, setup, trace, sim);
    run.gpus = d.prefill_gpus + d.decode_gpus;
    if (prefill)
      price = (d.prefill_gpus * prefill->machine.gpu_hour_usd + d.decode_gpus * price) / run.gpus;
  }
  sim.limits = scheduled_limits(s, setup, trace);
  run.pool_tokens = sim.limits.blocks * sim.limits.block_size;
  const serving::StepTime step =
      s.speculative ? speculative_step(setup, *s.speculative) : step_time(setup);
  if (s.scheduler.policy == Batching::static_batching) {
    if (s.disaggregation || s.speculative || sim.replicas > 1)
      throw UserError(
          "scheduler.policy: static batching is simulated on one engine, without speculation or "
          "pools");
    if (sim.concurrency > 0)
      sim.limits.max_num_seqs = std::min(sim.limits.max_num_seqs, sim.concurrency);
    static_batch_fits(sim.limits, s.scheduler.padded, trace);
    run.service = serving::simulate_static(sim.limits.max_num_seqs, s.scheduler.padded,
                                           sim.concurrency, trace, step);
  } else {
    run.service = serving::simulate(sim, trace, step);
  }
  run.goodput = serving::goodput(run.service, slo.ttft_p99, slo.tpot_p99);
  run.meets_slo = run.service.ttft.p99 <= slo.ttft_p99 && run.service.tpot.p99 <= slo.tpot_p99;
  run.usd_per_million_output_tokens =
      serving::usd_per_million_tokens(run.gpus, price, TokenRate{run.service.output_rate});
  if (run.service.verdict == serving::Verdict::overloaded)
    run.warnings.push_back(
        "overloaded: the queue grows while requests come, so latencies depend on how long they do");
  return run;
}

}  // namespace kvroof
