// kvroof explain: where a number comes from: formula, the formula with its numbers, inputs with
// their sources, and what would change it most.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>

#include "model/gap_parts.hpp"
#include "model/llm_counts.hpp"
#include "model/user_error.hpp"
#include "reports/grid.hpp"
#include "reports/text.hpp"
#include "scenarios/cli/resolve.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using reports::count;
using reports::number;
using reports::percent;
using reports::text;

struct Context {
  const Resolved& r;
  const Setup& s;
  Prediction p;
};

void formula(const std::string& what, const std::string& symbols, const std::string& numbers) {
  const std::string indent(what.size(), ' ');
  std::cout << what << " = " << symbols << '\n' << indent << " = " << numbers << '\n';
}

void inputs(std::vector<std::vector<std::string>> rows) {
  reports::Grid g("lrl");
  for (auto& row : rows) g.row(std::move(row));
  g.print(std::cout, "   ");
}

/// How one result answers to one change; evaluated, not differentiated.
struct Change {
  std::string what;
  std::function<void(Setup&)> apply;
};

std::vector<Change> changes() {
  return {
      {"HBM rate reached −10 %",
       [](Setup& s) {
         for (ClassFit& f : s.machine.fit) f.memory *= 0.9;
       }},
      {"tensor rate reached −10 %",
       [](Setup& s) {
         for (ClassFit& f : s.machine.fit) f.compute *= 0.9;
       }},
      {"time per kernel +1 us",
       [](Setup& s) {
         for (ClassFit& f : s.machine.fit) f.ramp += Seconds{micro};
       }},
      {"all-reduce latency +2 us", [](Setup& s) { s.machine.nvlink.base += Seconds{2 * micro}; }},
      {"host time per step +1 ms", [](Setup& s) { s.engine.step_base += Seconds{milli}; }},
      {"requests +10 %", [](Setup& s) { s.point.batch *= 1.1; }},
      {"context +10 %", [](Setup& s) { s.point.prompt *= 1.1, s.point.context *= 1.1; }},
      {"FP8 KV cache", [](Setup& s) { s.policy.kv = Dtype::fp8; }},
      {"FP8 weights", [](Setup& s) { s.policy.weights = Dtype::fp8; }}};
}

void sensitivity(const Context& c, const std::function<double(const Prediction&)>& value) {
  const double base = value(c.p);
  std::vector<std::pair<double, std::string>> effects;
  for (const Change& change : changes()) {
    Setup s = c.s;
    change.apply(s);
    try {
      const double relative = value(predict(s)) / base - 1;
      if (std::abs(relative) >= 5e-4) effects.emplace_back(relative, change.what);
    } catch (const std::exception&) {  // the change is not possible on this machine
    }
  }
  std::stable_sort(effects.begin(), effects.end(), [](const auto& a, const auto& b) {
    return std::abs(a.first) > std::abs(b.first);
  });
  std::cout << "sensitivity\n";
  for (const auto& [relative, what] : effects)
    std::cout << fmt::format("   {:<26} {:+.1f} %\n", what, 100 * relative);
}

std::string source(const Figure<Bytes>& f) { return f.source.empty() ? "unknown" : f.source; }

void explain_kv(const Context& c) {
  const Policy& policy = c.s.policy;
  double per_token = 0;
  for (const LayerGroup& g : c.s.llm.layers) {
    const BytesPerToken one = kv_bytes_per_token(g.attention, policy.kv_dtype());
    per_token += g.count * one.value;
    if (const auto* a = std::get_if<GroupedAttention>(&g.attention)) {
      formula(fmt::format("kv_bytes_per_token, {} layers", g.count),
              "layers · h_kv · (d_qk + d_v) · bytes",
              fmt::format("{} · {} · ({} + {}) · {} = {} B", g.count, a->h_kv, a->d_qk, a->d_v,
                          element_size(policy.kv_dtype()).value, count(g.count * one.value)));
      inputs({{"h_kv", fmt::format("{}", a->h_kv),
               fmt::format("config: K/V heads (h_q {}; MHA would need {}x)", a->h_q,
                           a->h_q / a->h_kv)},
              {"bytes", number(element_size(policy.kv_dtype()).value),
               fmt::format("kv_cache_dtype {}, scales included", name(policy.kv_dtype()))}});
      if (a->window > 0)
        std::cout << fmt::format("   these layers keep at most {} tokens of a request\n",
                                 a->window);
    } else if (const auto* m = std::get_if<LatentAttention>(&g.attention)) {
      const double index = index_token_bytes(*m).value;
      formula(fmt::format("kv_bytes_per_token, {} layers", g.count),
              index > 0 ? "layers · ((d_c + d_rope) · bytes + index)"
                        : "layers · (d_c + d_rope) · bytes",
              fmt::format("{} · ({} + {}) · {}{} = {} B", g.count, m->d_c, m->d_rope,
                          (one.value - index) / (m->d_c + m->d_rope),
                          index > 0 ? fmt::format(" + {} · {}", g.count, index) : "",
                          count(g.count * one.value)));
      std::cout << fmt::format(
          "   the latent is shared by all {} heads; MHA of this shape would need {}x; every "
          "tensor-parallel rank holds it whole\n",
          m->h_q, number(1.0 * m->h_q * (m->d_nope + m->d_rope + m->d_v) / (m->d_c + m->d_rope)));
      if (index > 0)
        std::cout << fmt::format(
            "   an indexer keeps {} FP8 values and a scale of each token and lets attention see "
            "the best {}\n",
            m->index_dim, m->index_topk);
    } else {
      const auto& a = std::get<LinearAttention>(g.attention);
      formula(
          fmt::format("state per request, {} layers", g.count),
          "layers · (h_v · d_k · d_v · 4 + (conv − 1) · (2 · h_k · d_k + h_v · d_v) · 2)",
          fmt::format("{} · ({} · {} · {} · 4 + {} · {} · 2) = {} B", g.count, a.h_v, a.d_k, a.d_v,
                      a.conv - 1, a.channels(), count(g.count * state_bytes(g.attention).value)));
      std::cout << "   linear layers keep a state instead of a cache, the same at any length\n";
    }
  }
  std::cout << fmt::format("kv_bytes_per_token = {} B = {}   (whole network, {})\n\n",
                           count(per_token), text(Bytes{per_token}), c.r.scenario.model);
}

void explain_memory(const Context& c) {
  const MemoryFit& m = c.p.memory;
  const Policy& policy = c.s.policy;
  const MemoryShare limit = memory_share(policy, c.s.engine);
  const Dtype format = policy.weights.value_or(c.s.llm.weights);
  formula("kv_pool, per GPU", "usable − weights − activations − graphs − context",
          fmt::format("{} − {} − {} − {} − {} = {}", text(m.usable), text(m.weights),
                      text(m.activations), text(m.graphs), text(m.context), text(m.pool)));
  const Figure<Bytes>& memory = c.r.profile.measured.memory.known() ? c.r.profile.measured.memory
                                                                    : c.r.profile.datasheet.memory;
  inputs({{"capacity", text(m.capacity), source(memory)},
          {"usable", text(m.usable),
           fmt::format("{} {:.2f} ({})", limit.key, limit.share, c.s.engine.name)},
          {"weights", text(m.weights),
           fmt::format("{} parameters in {}, one GPU's share (kvroof explain … weights)",
                       count(static_cast<double>(total_params(c.s.llm))), name(format))},
          {"activations", text(m.activations),
           fmt::format("estimate: widest layer at {} tokens, FP32 logits of {} requests",
                       policy.max_num_batched_tokens, policy.max_num_seqs)},
          {"graphs", text(m.graphs), std::string(c.s.engine.source)},
          {"context", text(m.context), std::string(c.s.engine.source)}});
  formula("kv_pool_tokens", "⌊pool / KV bytes of a request · blocks of a request⌋ · block_size",
          fmt::format("⌊{} / {} · {}⌋ · {} = {} tokens", text(m.pool), text(m.kv_per_request),
                      count(std::ceil(m.tokens_per_request / policy.block_size)), policy.block_size,
                      count(m.pool_tokens.value)));
  std::cout << fmt::format("{}: {} blocks needed, {} there\n", m.fits ? "fits" : "does not fit",
                           count(m.blocks_needed), count(m.blocks));
  for (const std::string& w : m.would_fit) std::cout << "   would fit: " << w << '\n';
}

/// Parameters by the job they do, their bytes on one GPU, and what every decode step reads of them.
void explain_weights(const Context& c) {
  const Parallelism& p = c.s.policy.parallel;
  const double params = static_cast<double>(total_params(c.s.llm));
  const Bytes one = c.p.memory.weights;
  const int ranks = p.tensor * p.pipeline;
  std::cout << fmt::format("weights, per GPU = {}: {} parameters over {} GPUs\n", text(one),
                           count(params), ranks);
  const Policy& policy = c.s.policy;
  inputs({{"linear layers", std::string(name(policy.weights.value_or(c.s.llm.weights))),
           "scales included"},
          {"attention", std::string(name(policy.weights.value_or(c.s.llm.attention_weights))), ""},
          {"embedding, lm_head", std::string(name(c.s.llm.head_weights)),
           c.s.llm.tied_embeddings ? "one table" : "two tables"},
          {"on average", number(one * ranks / Bytes{params}),
           "B a parameter over all GPUs; what tensor parallelism repeats counts each time"},
          {"a decode step reads", text(c.p.decode.work.read.weights),
           "of one GPU: no embedding table, the experts its tokens touch"}});
}

/// One op: its counts, its rates, its time.
void explain_op(const Context& c, const PhaseResult& phase, const std::string& wanted) {
  const Machine& m = c.s.machine;
  bool found = false;
  for (std::size_t i = 0; i < phase.ops.size(); ++i) {
    const Op& op = phase.ops[i];
    const OpTime& t = phase.times[i];
    if (op.name != wanted) continue;
    found = true;
    const Work& w = op.work;
    const ClassFit& fit = m.fit_of(op.op_class);
    std::cout << fmt::format("{}: {:.0f} runs a step, bound by {}\n", op.name, op.count,
                             name(t.bound));
    inputs({{"flops", count(w.flops.value),
             fmt::format("paper; the tensor cores run {}", count(w.flops_executed.value))},
            {"read", count(w.hbm_read().value) + " B",
             fmt::format("weights {}, KV {}, activations {}", text(w.read.weights), text(w.read.kv),
                         text(w.read.activations))},
            {"written", count(w.hbm_written().value) + " B",
             fmt::format("KV {}, activations {}", text(w.written.kv), text(w.written.activations))},
            {"intensity", number(w.intensity().value),
             fmt::format("FLOP/B; ridge {}",
                         number(m.roof(op.math).peak / m.hbm.peak / Intensity{1}))},
            {"HBM", text(m.hbm.peak),
             fmt::format("x {} reached by {} kernels ({})", percent(fit.memory), name(op.op_class),
                         name(fit.source))},
            {std::string(name(op.math)), text(m.roof(op.math).peak),
             fmt::format("x {} reached", percent(fit.compute))},
            {"per kernel", text(fit.ramp),
             fmt::format("fill and drain; then {} to the next one", text(m.launch.graph_node))}});
    formula("speed of light", "max(flops / peak, (read + written − handed over) / HBM)",
            fmt::format("{} for all {:.0f}", text(t.floor), op.count));
    std::cout << "expected       = " << text(t.floor);
    for (const GapPart& part : gap_parts(t.gap))
      if (part.time != Seconds{}) std::cout << " + " << part.words << ' ' << text(part.time);
    std::cout << " = " << text(t.expected) << "\n\n";
  }
  if (found) return;
  std::string names;
  for (const Op& op : phase.ops) names += (names.empty() ? "" : ", ") + std::string(op.name);
  throw UserError("--op: expected one of " + names + ", got \"" + wanted + "\"");
}

void explain_step(const char* what, const PhaseResult& phase) {
  std::cout << fmt::format(
      "{} = sum over {} op kinds of max over resources, each at the rate real kernels reach\n",
      what, phase.ops.size());
  reports::Grid g("lrrrl");
  g.row({"op", "runs", "speed of light", "expected", "bound"});
  for (std::size_t i = 0; i < phase.ops.size(); ++i)
    g.row({std::string(phase.ops[i].name), count(phase.ops[i].count), text(phase.times[i].floor),
           text(phase.times[i].expected), std::string(name(phase.times[i].bound))});
  g.row({"sum", "", text(phase.step.floor), text(phase.step.expected), ""});
  g.print(std::cout, "   ");
}

void explain(const Resolved& r, const std::string& what, const std::string& op) {
  const Context c{r, r.setup, predict(r.setup)};
  const Prediction& p = c.p;
  const OperatingPoint& point = c.s.point;
  if (!op.empty())
    return explain_op(c, what == "prefill" || what == "ttft" ? p.prefill : p.decode, op);
  if (what == "kv") {
    explain_kv(c);
    return explain_memory(c);
  }
  if (what == "fits") return explain_memory(c);
  if (what == "weights") return explain_weights(c);
  if (what == "decode") {
    explain_step("decode step", p.decode);
    return sensitivity(c, [](const Prediction& x) { return x.decode.step.expected.value; });
  }
  if (what == "prefill" || what == "ttft") {
    explain_step("prefill", p.prefill);
    if (what == "ttft")
      formula("ttft", "prefill of one request + host time of a step",
              fmt::format("{} + {} = {}", text(p.ttft_step.expected),
                          text(p.ttft - p.ttft_step.expected), text(p.ttft)));
    return sensitivity(c, [](const Prediction& x) { return x.ttft.value; });
  }
  if (what == "tpot") {
    formula("tpot", "decode step + host time + what prompts of the other requests add",
            fmt::format("{} + {} + {} = {}", text(p.decode.step.expected),
                        text(p.tpot - p.decode.step.expected - p.interference),
                        text(p.interference), text(p.tpot)));
    std::cout << "   while one request generates its tokens, each of the others on its replica "
                 "prefills once\n";
    explain_step("decode step", p.decode);
    return sensitivity(c, [](const Prediction& x) { return x.tpot.value; });
  }
  if (what == "throughput" || what == "cost") {
    if (point.lock_step)
      formula("output tok/s", "batch / tpot",
              fmt::format("{} / {} = {}", count(point.batch), text(p.tpot),
                          number(p.output_rate.value)));
    else
      formula("output tok/s", "requests · output_len / (ttft + wait + (output_len − 1) · tpot)",
              fmt::format("{} · {} / ({} + {} + {} · {}) = {}", count(point.batch),
                          count(point.output), text(p.ttft), text(p.interference),
                          count(point.output - 1), text(p.tpot), number(p.output_rate.value)));
    formula("$ per million output tokens", "10^6 · GPUs · $/h / (3600 · tok/s)",
            fmt::format("10^6 · {} · {} / (3600 · {}) = {}", p.gpus, c.s.machine.gpu_hour_usd,
                        number(p.output_rate.value), number(p.usd_per_million_output_tokens)));
    return sensitivity(c, [](const Prediction& x) { return x.output_rate.value; });
  }
}

}  // namespace

void add_explain(CLI::App& app, int&) {
  struct Options {
    std::string what = "tpot", op;
  };
  CLI::App* verb = app.add_subcommand(
      "explain", "the derivation of a number: formula, inputs, sources, sensitivity");
  auto in = add_inputs(*verb);
  auto o = std::make_shared<Options>();
  verb->add_option("what", o->what,
                   "kv | fits | weights | prefill | ttft | decode | tpot | throughput | cost")
      ->check(CLI::IsMember(
          {"kv", "fits", "weights", "prefill", "ttft", "decode", "tpot", "throughput", "cost"}));
  verb->add_option("--op", o->op, "one op of the step: attention, gate_up_proj, …");
  verb->callback([in, o] {
    const Resolved r = resolve(*in);
    if (!r.scenario.kernel_calls().empty())
      throw UserError(
          in->file +
          ": expected a scenario with a model; kernel scenarios state their counts in kvroof run");
    explain(r, o->what, o->op);
  });
}

}  // namespace kvroof::cli
