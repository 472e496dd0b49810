#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <ostream>

#include "model/gap_parts.hpp"
#include "model/llm_counts.hpp"
#include "model/shard.hpp"
#include "reports/grid.hpp"
#include "reports/notes.hpp"
#include "reports/run_report.hpp"
#include "reports/terminal.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

std::string upper(std::string_view word) {
  std::string w{word};
  std::transform(w.begin(), w.end(), w.begin(), [](unsigned char c) { return std::toupper(c); });
  return w;
}

std::string precision(const Setup& s) {
  return upper(name(s.policy.weights.value_or(s.llm.weights)));
}

std::string sharding(const Parallelism& p) {
  std::string s = fmt::format("TP{}", p.tensor);
  if (p.pipeline > 1) s += fmt::format(" PP{}", p.pipeline);
  if (p.data > 1) s += fmt::format(" DP{}", p.data);
  if (p.expert) s += " EP";
  return s;
}

std::string load_text(const OperatingPoint& w) {
  if (w.lock_step)
    return fmt::format("batch {} at context {}", count(w.batch), count(w.decode_context()));
  return fmt::format("{} in / {} out · {} concurrent", count(w.prompt), count(w.output),
                     count(w.batch));
}

std::string headline(const RunReport& r) {
  const Setup& s = r.setup;
  return fmt::format("{} · {} {} · {} x {} ({}) · {}", r.name, s.llm.id, precision(s),
                     r.prediction.gpus, s.machine.id, sharding(s.policy.parallel),
                     load_text(s.point));
}

/// Bytes of a cached token: of the whole network, of one GPU, and what windows and states change.
std::string kv_text(const Setup& s, const MemoryFit& m) {
  std::string t = fmt::format("KV is {}/token ({})", text(Bytes{m.kv_per_token.value}),
                              name(s.policy.kv_dtype()));
  const Parallelism& p = s.policy.parallel;
  if (p.tensor * p.pipeline > 1) {
    const BytesPerToken each = kv_bytes_per_token(rank_shape(s.llm, p), s.policy.kv_dtype());
    t += fmt::format(", {} on each GPU", text(Bytes{each.value / p.pipeline}));
  }
  if (m.state_per_request > Bytes{})
    t += fmt::format(" and {}/request of linear layers' state", text(m.state_per_request));
  const bool windows = std::any_of(s.llm.layers.begin(), s.llm.layers.end(), [](const auto& g) {
    const auto* a = std::get_if<GroupedAttention>(&g.attention);
    return a && a->window > 0;
  });
  if (windows)
    t += fmt::format(" until windows fill: {} tokens keep {} a GPU", count(m.tokens_per_request),
                     text(m.kv_per_request));
  return t;
}

void memory_section(std::ostream& out, const RunReport& r, bool unicode) {
  const MemoryFit& m = r.prediction.memory;
  const MemoryShare limit = memory_share(r.setup.policy, r.setup.engine);
  out << fmt::format("{}  {} usable of {} per GPU ({} {:.2f})\n", m.fits ? "FITS" : "DOES NOT FIT",
                     text(m.usable), text(m.capacity), limit.key, limit.share);
  Grid g("lrl");
  const auto line = [&](const char* what, Bytes b) {
    g.row({what, text(b), bar(b / m.capacity, 40, unicode)});
  };
  line("weights", m.weights);
  line("activations (estimate)", m.activations);
  line("graphs, context", m.graphs + m.context);
  line("KV pool", m.pool);
  g.print(out, "  ");
  out << fmt::format(
      "  GPU KV cache size: {} tokens, Maximum concurrency for {} tokens per request: {:.2f}x\n",
      count(m.pool_tokens.value), count(m.tokens_per_request), m.max_concurrency);
  out << fmt::format("  {}; this load needs {} of {} blocks\n", kv_text(r.setup, m),
                     count(m.blocks_needed), count(m.blocks));
  if (m.fits) return;
  out << "\n  " << m.reason << '\n';
  for (const std::string& s : m.would_fit) out << "  would fit: " << s << '\n';
  if (m.would_fit.empty())
    out << "  nothing among batch, context, KV format, quantisation, TP and PP would make it fit\n";
}

std::string limit_text(const PhaseResult& p) {
  const Bytes hbm = p.work.hbm() - p.work.read.activations - p.work.written.activations;
  if (p.step.bound != Bound::hbm || hbm <= Bytes{}) return fmt::format("{}", name(p.step.bound));
  return fmt::format("HBM bytes: {} weights, {} KV", percent(p.work.read.weights / hbm),
                     percent((p.work.read.kv + p.work.written.kv) / hbm));
}

/// "batch 32", and how replicas or pipeline stages cut it.
std::string batch_text(const Setup& s) {
  const Parallelism& p = s.policy.parallel;
  std::string t = fmt::format("batch {}", count(s.point.batch / p.data));
  if (p.data > 1) t += fmt::format(" on each of {}", p.data);
  if (p.pipeline > 1) t += fmt::format(" in {} micro-batches", p.pipeline);
  return t;
}

void speed_section(std::ostream& out, const RunReport& r) {
  const Prediction& p = r.prediction;
  const OperatingPoint& w = r.setup.point;
  Grid g("lrrrl");
  g.row({"SPEED", "predicted", "likely range", "speed of light", "limited by"});
  const auto range = [](Seconds a, Seconds b) { return text(a) + " – " + text(b); };
  const auto step = [&](const std::string& what, const PhaseResult& x) {
    g.row({what, text(x.step.expected), range(x.step.low(), x.step.high()), text(x.step.floor),
           limit_text(x)});
  };
  g.row({"TTFT, idle GPUs", text(p.ttft),
         range(p.ttft - p.ttft_step.spread, p.ttft + p.ttft_step.spread), text(p.ttft_step.floor),
         std::string(name(p.ttft_step.bound))});
  if (w.lock_step) step(fmt::format("prefill of the batch"), p.prefill);
  step(fmt::format("decode step ({})", batch_text(r.setup)), p.decode);
  g.row({"TPOT", text(p.tpot), range(p.tpot_low, p.tpot_high), "",
         p.interference > Seconds{} ? "step + host + prefills that share the GPU" : "step + host"});
  // What follows from TPOT has its range.
  const double low = p.tpot_low / p.tpot, high = p.tpot_high / p.tpot;
  const auto rate = [&](const char* what, double v) {
    g.row({what, number(v), number(v / high) + " – " + number(v / low)});
  };
  if (!w.lock_step) g.row({"E2E", text(p.e2e), range(low * p.e2e, high * p.e2e)});
  rate("output tok/s", p.output_rate.value);
  if (p.gpus > 1) rate("output tok/s/GPU", p.output_rate.value / p.gpus);
  g.row({fmt::format("cost at ${:.2f}/GPU-h", r.setup.machine.gpu_hour_usd),
         "$" + number(p.usd_per_million_output_tokens), "", "", "per million output tokens"});
  if (const double watts = p.gpus * r.setup.machine.power_watts; watts > 0)
    g.row({"output tok/J", number(p.output_rate.value / watts), "", "",
           fmt::format("GPUs alone, at their limit of {} W", count(r.setup.machine.power_watts))});
  g.print(out);
  const Machine& machine = r.setup.machine;
  const Lowering lowering = lower(r.setup.llm, r.setup.policy, machine);
  const MathType math = lowering.math_of(lowering.linear);
  out << fmt::format(
      "decode MBU {}, MFU {}: {} FLOP/B against a ridge of {} ({})\n", percent(p.decode.mbu),
      percent(p.decode.mfu), number(p.decode.work.intensity().value),
      number(machine.roof(math).peak / machine.hbm.peak / Intensity{1}), upper(name(math)));
}

/// Ops of one name together (layer groups of one LLM share names), longest first;
/// small ones summed up.
void ops_section(std::ostream& out, const char* title, const PhaseResult& p, bool unicode) {
  struct Line {
    Seconds expected, floor;
    Work work;
    std::map<Bound, double> bound;
  };
  std::vector<std::pair<std::string, Line>> lines;
  for (std::size_t i = 0; i < p.ops.size(); ++i) {
    const std::string op{p.ops[i].name};
    auto it =
        std::find_if(lines.begin(), lines.end(), [&](const auto& l) { return l.first == op; });
    if (it == lines.end()) it = lines.insert(lines.end(), {op, {}});
    it->second.expected += p.times[i].expected, it->second.floor += p.times[i].floor;
    it->second.work += p.ops[i].count * p.ops[i].work;
    it->second.bound[p.times[i].bound] += p.times[i].expected.value;
  }
  std::stable_sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) {
    return a.second.expected > b.second.expected;
  });
  Grid g("lrrlrrl");
  g.row({title, "time", "share", "", "FLOP/B", "speed of light", "bound"});
  Line other;
  double others = 0;
  for (const auto& [op, l] : lines) {
    const double share = l.expected / p.step.expected;
    if (share < 0.01) {
      other.expected += l.expected, other.floor += l.floor, ++others;
      continue;
    }
    const auto bound =
        std::max_element(l.bound.begin(), l.bound.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    g.row({op, text(l.expected), percent(share), bar(share, 20, unicode),
           l.work.flops > Flops{} ? number(l.work.intensity().value) : "–",
           l.floor > Seconds{} ? text(l.floor) : "–", std::string(name(bound->first))});
  }
  if (others > 0)
    g.row({fmt::format("{:.0f} others", others), text(other.expected),
           percent(other.expected / p.step.expected), "", "–", text(other.floor)});
  g.print(out, "  ");
}

void gap_section(std::ostream& out, const PhaseResult& p) {
  out << "  speed of light " << text(p.step.floor);
  for (const GapPart& part : gap_parts(p.step.gap))
    if (part.time > 0.01 * p.step.expected) out << " + " << part.words << ' ' << text(part.time);
  out << " = " << text(p.step.expected) << '\n';
}

}  // namespace

void print_table(std::ostream& out, const RunReport& r, bool unicode) {
  out << headline(r) << "\n\n";
  memory_section(out, r, unicode);
  if (r.prediction.memory.fits) {
    out << '\n';
    speed_section(out, r);
    out << '\n';
    ops_section(out, "decode op", r.prediction.decode, unicode);
    gap_section(out, r.prediction.decode);
  }
  out << '\n';
  print_notes(out, {r.assumed, r.warnings, r.next});
}

void print_markdown(std::ostream& out, const RunReport& r) {
  const Prediction& p = r.prediction;
  const MemoryFit& m = p.memory;
  out << "## " << headline(r) << "\n\n| | |\n|---|---|\n";
  const auto row = [&](const std::string& a, const std::string& b) {
    out << "| " << a << " | " << b << " |\n";
  };
  row("fits", m.fits ? "yes" : "no: " + m.reason);
  row("weights per GPU", text(m.weights));
  row("KV pool per GPU", text(m.pool));
  row("KV per token", text(Bytes{m.kv_per_token.value}));
  row("KV tokens", count(m.pool_tokens.value));
  row(fmt::format("max concurrency at {} tokens", count(m.tokens_per_request)),
      number(m.max_concurrency));
  for (const std::string& s : m.would_fit) row("would fit", s);
  if (!m.fits) return;
  row("TTFT, idle", text(p.ttft));
  row("prefill, speed of light", text(p.prefill.step.floor));
  row("decode step", text(p.decode.step.expected) + " (" + text(p.decode.step.low()) + " – " +
                         text(p.decode.step.high()) + ")");
  row("decode step, speed of light", text(p.decode.step.floor));
  row("TPOT", text(p.tpot));
  row("output tok/s", number(p.output_rate.value));
  row("output tok/s/GPU", number(p.output_rate.value / p.gpus));
  row("USD per million output tokens", number(p.usd_per_million_output_tokens));
  out << "\n| phase | op | count | time | speed of light | FLOP/B | bound "
         "|\n|---|---|--:|--:|--:|--:|---|\n";
  for (const auto& [phase, x] : {std::pair{"prefill", &p.prefill}, std::pair{"decode", &p.decode}})
    for (std::size_t i = 0; i < x->ops.size(); ++i)
      out << fmt::format("| {} | {} | {:.0f} | {} | {} | {} | {} |\n", phase, x->ops[i].name,
                         x->ops[i].count, text(x->times[i].expected), text(x->times[i].floor),
                         number(x->ops[i].work.intensity().value), name(x->times[i].bound));
}

}  // namespace kvroof::reports
