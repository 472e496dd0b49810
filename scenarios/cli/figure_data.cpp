#include "scenarios/cli/figure_data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "model/gap_parts.hpp"
#include "model/lowering.hpp"
#include "reports/text.hpp"
#include "scenarios/cli/sweep_points.hpp"

namespace kvroof::cli {

using reports::count;
using reports::number;
using reports::percent;
using reports::text;

namespace {

std::string upper(std::string s) {
  std::transform(s.begin(), s.end(), s.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return s;
}

std::string footer(std::span<const Subject> subjects) {
  std::string out = "predicted by kvroof " KVROOF_VERSION " · ";
  std::vector<std::string> seen;
  for (const Subject& s : subjects) {
    const Machine& m = s.setup.machine;
    if (std::find(seen.begin(), seen.end(), m.id) != seen.end()) continue;
    seen.push_back(m.id);
    out += fmt::format("{}{}: HBM rate {}, tensor rate {}", seen.size() > 1 ? "; " : "profile ",
                       m.id, name(m.hbm.source), name(m.roof(MathType::bf16).source));
  }
  return out + fmt::format(" · engine {}", subjects.front().setup.engine.name);
}

std::string load_text(const OperatingPoint& w, std::optional<Phase> phase) {
  if (w.lock_step || phase == Phase::decode)
    return fmt::format("batch {} · context {}", count(w.batch), count(w.decode_context()));
  if (phase == Phase::prefill) return fmt::format("one prompt of {}", count(w.prompt));
  return fmt::format("{} in, {} out, {} concurrent", count(w.prompt), count(w.output),
                     count(w.batch));
}

/// "linear", "attention", …: colour and shape on a roofline of one GPU.
std::string kind_of(OpClass c) {
  switch (c) {
    case OpClass::gemm:
      return "linear";
    case OpClass::moe_gemm:
      return "experts";
    case OpClass::prefill_attention:
    case OpClass::decode_attention:
      return "attention";
    case OpClass::elementwise:
      return "elementwise";
    case OpClass::collective:
      return "communication";
  }
  return "";
}

MathType step_math(const Setup& s) {
  const Lowering l = lower(s.llm, s.policy, s.machine);
  return l.math_of(l.linear);
}

reports::Roofline::Gpu roofs(const Subject& s) {
  const Machine& m = s.setup.machine;
  reports::Roofline::Gpu g{.name = s.name};
  const auto how = [](Source source) { return std::string(name(source)); };
  g.levels.push_back({"hbm", "HBM", m.hbm.peak, m.hbm.achieved, true, how(m.hbm.source)});
  if (m.l2.achieved > Bandwidth{}) g.levels.push_back({"l2", "L2", m.l2.achieved, {}, false});
  const MathType own = step_math(s.setup);
  const auto peak = [&](MathType t, bool shown) {
    const Roof<Throughput>& r = m.roof(t);
    if (r.peak <= Throughput{}) return;
    constexpr const char* ids[] = {"fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4"};
    const std::string id = ids[static_cast<std::size_t>(t)];
    g.peaks.push_back({id, upper(id) + " tensor", r.peak, r.achieved, shown, how(r.source)});
  };
  peak(own, true);
  for (const MathType t : {MathType::bf16, MathType::fp8})
    if (t != own) peak(t, false);
  return g;
}

reports::Details op_details(const OpSum& o) {
  reports::Details d;
  d.rows = {{"FLOP", number(o.work.flops.value / giga) + " G"},
            {"HBM bytes", number(o.work.hbm().value / giga) + " GB"},
            {"expected", text(o.expected)},
            {"speed of light", text(o.floor)},
            {"runs in the step", count(o.runs)},
            {"bound", std::string(name(o.bound))},
            {"rates", std::string(name(o.source))}};
  return d;
}

reports::Roofline::Trajectory batches(const Subject& s, int gpu) {
  reports::Roofline::Trajectory t{"whole step", gpu, {}};
  for (int batch = 1; batch <= 256; batch *= 2) {
    const std::optional<Prediction> p = predict_if_fits(with_batch(s.setup, batch));
    if (!p) break;
    const PhaseResult& step = p->decode;
    t.at.push_back({batch, step.work.intensity(), step.work.flops / step.step.expected});
  }
  return t;
}

}  // namespace

std::string headline(const Setup& s, std::optional<Phase> phase) {
  const Parallelism& p = s.policy.parallel;
  std::string sharding = fmt::format("TP{}", p.tensor);
  if (p.pipeline > 1) sharding += fmt::format(" PP{}", p.pipeline);
  if (p.data > 1) sharding += fmt::format(" DP{}", p.data);
  if (p.expert) sharding += " EP";
  const std::string what = !phase ? "" : *phase == Phase::decode ? " · decode" : " · prefill";
  return fmt::format("{} {} · {} × {} ({}){} · {}", s.llm.id,
                     upper(std::string(name(s.policy.weights.value_or(s.llm.weights)))), p.gpus(),
                     s.machine.id, sharding, what, load_text(s.point, phase));
}

reports::Caption caption(std::span<const Subject> subjects, std::string title, std::string subtitle,
                         std::optional<Phase> phase) {
  const Setup& first = subjects.front().setup;
  const bool same_job = std::all_of(subjects.begin(), subjects.end(), [&](const Subject& s) {
    return s.setup.llm.id == first.llm.id && s.setup.point == first.point;
  });
  std::string who;
  if (subjects.size() == 1) {
    who = headline(first, phase);
  } else {
    for (const Subject& s : subjects) who += (who.empty() ? "" : ", ") + s.name;
    if (phase) who += *phase == Phase::decode ? " · decode" : " · prefill";
    if (same_job) who = first.llm.id + " · " + who + " · " + load_text(first.point, phase);
  }
  if (!title.empty()) who = title + " · " + who;
  return {who, std::move(subtitle), footer(subjects)};
}

std::vector<OpSum> sums(const PhaseResult& p) {
  std::vector<OpSum> out;
  std::map<std::string, std::map<Bound, Seconds>> bounds;
  for (std::size_t i = 0; i < p.ops.size(); ++i) {
    const Op& op = p.ops[i];
    const OpTime& t = p.times[i];
    const std::string op_name{op.name};
    auto it =
        std::find_if(out.begin(), out.end(), [&](const OpSum& o) { return o.name == op_name; });
    if (it == out.end()) it = out.insert(out.end(), {.name = op_name, .op_class = op.op_class});
    it->work += op.count * op.work;
    it->floor += t.floor, it->expected += t.expected, it->runs += op.count;
    it->source = weaker(it->source, t.source);
    Seconds& share = bounds[op_name][t.bound];
    share += t.expected;
  }
  for (OpSum& o : out) {
    const auto& b = bounds[o.name];
    o.bound = std::max_element(b.begin(), b.end(), [](const auto& x, const auto& y) {
                return x.second < y.second;
              })->first;
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const OpSum& a, const OpSum& b) { return a.expected > b.expected; });
  return out;
}

reports::Roofline roofline(std::span<const Subject> subjects, Phase phase) {
  reports::Roofline f;
  const bool one = subjects.size() == 1;
  f.caption = caption(subjects, "",
                      fmt::format("per GPU; bands from achieved to datasheet rates{}",
                                  phase == Phase::decode
                                      ? "; the line: the whole step at batch 1, 2, 4 … as memory "
                                        "allows, at most 256"
                                      : ""),
                      phase);
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    const Subject& s = subjects[i];
    const int gpu = static_cast<int>(i);
    f.gpus.push_back(roofs(s));
    const PhaseResult& p = of(s.prediction, phase);
    Seconds total;
    const std::vector<OpSum> all = sums(p);
    for (const OpSum& o : all) total += o.expected;
    for (const OpSum& o : all) {
      const double share = o.expected / total;
      // A comparison of GPUs shows what takes time; one GPU shows everything.
      if (share < (one ? 0.002 : 0.1)) continue;
      reports::Roofline::Point point{.name = o.name, .kind = kind_of(o.op_class), .gpu = gpu};
      point.share = share;
      if (o.work.flops > Flops{} && o.work.hbm() > Bytes{}) {
        point.intensity = o.work.intensity();
        point.predicted = o.work.flops / o.expected;
        if (o.work.l2_to_sm > Bytes{}) point.at_level = {{"l2", o.work.flops / o.work.l2_to_sm}};
      }
      point.details = op_details(o);
      f.points.push_back(point);
    }
    if (phase == Phase::decode) f.trajectories.push_back(batches(s, gpu));
  }
  return f;
}

reports::OpTimes op_times(const Subject& s, Phase phase) {
  reports::OpTimes f;
  f.caption = caption({&s, 1}, "", "time of each op in one step, all its runs together", phase);
  Seconds others_floor, others;
  double left_out = 0;
  const PhaseResult& p = of(s.prediction, phase);
  for (const OpSum& o : sums(p)) {
    if (o.expected < 0.002 * p.step.expected) {
      others += o.expected, others_floor += o.floor, ++left_out;
      continue;
    }
    f.rows.push_back({o.name, o.floor, o.expected, {}, std::string(name(o.bound)), op_details(o)});
  }
  if (left_out > 0)
    f.rows.push_back({fmt::format("{:.0f} others", left_out), others_floor, others, {}, "–", {}});
  return f;
}

reports::Waterfall waterfall(const Subject& s, Phase phase) {
  const StepTime& t = of(s.prediction, phase).step;
  const Machine& m = s.setup.machine;
  reports::Waterfall f;
  f.caption = caption({&s, 1}, "Where the time goes",
                      "from the speed of light to the expected step", phase);
  f.floor = t.floor, f.expected = t.expected;
  for (const GapPart& part : gap_parts(t.gap))
    if (part.time != Seconds{})
      f.steps.push_back({std::string(part.words), part.time, {{}, std::string(part.why)}});
  if (t.gap.bandwidth != Seconds{})
    f.steps.front().details.rows = {
        {"HBM", fmt::format("{} of {}", text(m.hbm.achieved), text(m.hbm.peak))}};
  return f;
}

reports::MemoryMap memory(std::span<const Subject> subjects) {
  reports::MemoryMap f;
  f.caption = caption(subjects, "Memory of each GPU", "");
  for (const Subject& s : subjects) {
    const MemoryFit& m = s.prediction.memory;
    const double requests = s.setup.point.batch / s.setup.policy.parallel.data;
    const Bytes asked = requests * m.kv_per_request;
    reports::MemoryMap::Row row{
        fmt::format("{} · TP{}", s.name, s.setup.policy.parallel.tensor), m.capacity, m.usable, {}};
    row.parts = {{"weights", m.weights, {}},
                 {"activations", m.activations, {{}, "an estimate: widest layer and FP32 logits"}},
                 {"graphs, context", m.graphs + m.context, {}}};
    row.parts.push_back(
        {"KV cache of this load",
         asked,
         {{{"per request", text(m.kv_per_request)}, {"requests", count(requests)}}, ""}});
    if (m.pool > asked)
      row.parts.push_back({"KV cache, free",
                           m.pool - asked,
                           {{{"pool", text(m.pool)}, {"tokens", count(m.pool_tokens.value)}}, ""}});
    f.rows.push_back(row);
  }
  return f;
}

}  // namespace kvroof::cli
