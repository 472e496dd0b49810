#include "scenarios/cli/planner_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/scenario_fields.hpp"
#include "reports/run_report.hpp"
#include "reports/text.hpp"

namespace kvroof::cli {
namespace {

using reports::count;
using reports::DataTable;
using reports::number;
using reports::percent;
using reports::text;

std::string deployment(const Setup& s) {
  const int gpus = s.policy.parallel.gpus();
  return fmt::format("{} × {}", gpus, s.machine.id);
}

std::string load_in_words(const OperatingPoint& w) {
  if (w.lock_step)
    return fmt::format("a batch of {} requests at {} tokens of context", count(w.batch),
                       count(w.decode_context()));
  return fmt::format("{} concurrent requests of {} tokens in and {} out", count(w.batch),
                     count(w.prompt), count(w.output));
}

std::string question(const std::vector<Case>& cases) {
  const Setup& s = cases.front().subject.setup;
  std::string where;
  for (const Case& c : cases) where += (where.empty() ? "" : " or ") + deployment(c.subject.setup);
  return fmt::format("Can {} serve {} with {}? How fast, at what cost, and limited by what?", where,
                     load_in_words(s.point), s.llm.id);
}

std::string limit(const Prediction& p) {
  const StepTime& t = p.decode.step;
  const Traffic& r = p.decode.work.read;
  if (t.bound != Bound::hbm) return std::string(name(t.bound));
  return fmt::format("HBM bytes ({} weights, {} KV cache)", percent(r.weights / r.total()),
                     percent(r.kv / r.total()));
}

std::string answer(const Subject& s) {
  const Prediction& p = s.prediction;
  if (!p.memory.fits) {
    std::string would;
    for (const std::string& w : p.memory.would_fit) would += (would.empty() ? "" : ", ") + w;
    return fmt::format("No, it does not fit on {}: {}.{}", deployment(s.setup), p.memory.reason,
                       would.empty() ? "" : " It would fit with: " + would + ".");
  }
  return fmt::format(
      "Yes: on {} it fits, generates {} tokens/s ({} per GPU) with {} between tokens, and costs "
      "${} per million output tokens; decode is limited by {}.",
      deployment(s.setup), number(p.output_rate.value), number(p.output_rate.value / p.gpus),
      text(p.tpot), number(p.usd_per_million_output_tokens), limit(p));
}

std::string range(Seconds a, Seconds b) { return text(a) + " – " + text(b); }

/// What, value: the numbers that `kvroof run` prints for one scenario.
std::vector<std::pair<std::string, std::string>> facts(const Subject& s) {
  const Prediction& p = s.prediction;
  const MemoryFit& m = p.memory;
  std::vector<std::pair<std::string, std::string>> out{
      {"fits", m.fits ? "yes" : "no"},
      {"KV cache holds", count(m.pool_tokens.value) + " tokens"},
      {"most requests at once", number(m.max_concurrency)}};
  if (!m.fits) return out;
  out.insert(out.end(),
             {{"output tokens/s", number(p.output_rate.value)},
              {"per GPU", number(p.output_rate.value / p.gpus)},
              {"TPOT", fmt::format("{} ({})", text(p.tpot), range(p.tpot_low, p.tpot_high))},
              {"TTFT, idle GPUs", text(p.ttft)},
              {"decode step", fmt::format("{} ({})", text(p.decode.step.expected),
                                          range(p.decode.step.low(), p.decode.step.high()))},
              {"its speed of light", text(p.decode.step.floor)},
              {"$ per million output tokens", number(p.usd_per_million_output_tokens)},
              {"limited by", limit(p)}});
  return out;
}

DataTable comparison(const std::vector<Case>& cases) {
  DataTable t{"", {{"", false}}, {}};
  for (const Case& c : cases) {
    t.columns.push_back({c.subject.name});
    for (const auto& [what, value] : facts(c.subject)) {
      auto row = std::find_if(t.rows.begin(), t.rows.end(),
                              [&, w = what](const auto& r) { return r.front() == w; });
      if (row == t.rows.end()) row = t.rows.insert(t.rows.end(), {what});
      row->resize(t.columns.size() - 1, "–");
      row->push_back(value);
    }
  }
  for (auto& row : t.rows) row.resize(t.columns.size(), "–");
  return t;
}

/// Datasheet, measured, fitted and assumed figures the prediction rests on, each with its source.
DataTable assumptions(const std::vector<Case>& cases) {
  DataTable t{"", {{"what", false}, {"value", false}, {"source", false}}, {}};
  const auto add = [&](std::string what, std::string value, std::string source) {
    // An offline page names no address a browser could be sent to.
    for (const std::string scheme : {"https://", "http://"})
      for (std::size_t at; (at = source.find(scheme)) != std::string::npos;)
        source.erase(at, scheme.size());
    std::vector<std::string> row{std::move(what), std::move(value), std::move(source)};
    if (std::find(t.rows.begin(), t.rows.end(), row) == t.rows.end()) t.rows.push_back(row);
  };
  for (const Case& c : cases) {
    const Setup& s = c.subject.setup;
    const Machine& m = s.machine;
    const HardwareProfile& h = c.resolved.profile;
    const auto achieved = [](const auto& roof) {
      return fmt::format("{} of {} ({})", text(roof.achieved), text(roof.peak),
                         percent(roof.achieved / roof.peak));
    };
    const Roof<Throughput>& bf16 = m.roof(MathType::bf16);
    add(m.id + ": HBM bandwidth", text(m.hbm.peak), h.datasheet.hbm_bandwidth.source);
    add(m.id + ": HBM rate reached", achieved(m.hbm),
        h.measured.hbm_read.known() ? h.measured.hbm_read.source : std::string(name(m.hbm.source)));
    add(m.id + ": BF16 tensor peak, dense", text(bf16.peak), h.datasheet.bf16.source);
    add(m.id + ": BF16 rate reached", achieved(bf16),
        h.measured.bf16.known() ? h.measured.bf16.source : std::string(name(bf16.source)));
    for (const OpClass k : {OpClass::gemm, OpClass::moe_gemm, OpClass::prefill_attention,
                            OpClass::decode_attention, OpClass::elementwise}) {
      const ClassFit& f = m.fit_of(k);
      add(fmt::format("{}: {} kernels", m.id, name(k)),
          fmt::format("{} of HBM, {} of compute peak, ± {}", percent(f.memory), percent(f.compute),
                      percent(f.spread)),
          std::string(name(f.source)));
    }
    add(m.id + ": GPU link, per direction", text(m.nvlink.bandwidth),
        std::string(name(m.nvlink.source)));
    add(m.id + ": price", fmt::format("${:.2f} per GPU-hour", m.gpu_hour_usd),
        c.resolved.scenario.cost.gpu_hour_usd ? "the scenario" : "the profile's stated default");
    add(fmt::format("{}: host time of a step", s.engine.name), text(s.engine.step_base),
        std::string(s.engine.source));
    add(s.llm.id + ": shape", fmt::format("{} layers, d_model {}", s.llm.n_layers(), s.llm.d_model),
        s.llm.source.empty() ? "config.json" : s.llm.source);
    for (const std::string& d : defaults_used(c.resolved.scenario))
      add("default", d, c.resolved.scenario.engine);
  }
  add("activations", "the widest layer and FP32 logits", "an estimate, not a measurement");
  return t;
}

std::vector<std::string> provenance(const std::vector<Case>& cases) {
  std::vector<std::string> out{
      "Every number of this document is predicted by kvroof " KVROOF_VERSION
      " from counts of FLOPs and bytes; nothing was run on this deployment.",
      "Speed of light: counted work over datasheet peaks. Expected: the same work over rates that "
      "real kernels reach, with launches, ramps, waves and communication. Ranges: one standard "
      "deviation of what predictions of this class missed."};
  std::vector<std::string> seen;
  for (const Case& c : cases) {
    const HardwareProfile& h = c.resolved.profile;
    if (std::find(seen.begin(), seen.end(), h.id) != seen.end()) continue;
    seen.push_back(h.id);
    out.push_back(
        h.measured.date.empty()
            ? h.id +
                  ": no ceilings of this GPU were measured; rates are the datasheet's, fitted to "
                  "published measurements, or assumed, as the table says."
            : fmt::format("{}: ceilings measured by micro-kernels on {} (driver {}, CUDA {}), {}.",
                          h.id, h.measured.device, h.measured.driver, h.measured.cuda,
                          h.measured.date));
  }
  return out;
}

template <class F>
void add_if(reports::ReportSection& section, std::string id, const F& f, std::size_t points,
            std::string note) {
  if (points > 0) section.figures.push_back(reports::figure(std::move(id), f, std::move(note)));
}

reports::ReportSection speed(const std::vector<Subject>& fitting) {
  reports::ReportSection out{"Speed", {}, {}, {}};
  out.figures.push_back(reports::figure(
      "roofline-decode", roofline(fitting, Phase::decode),
      "Under the slope bytes set the time; batching moves a step to the right.", "decode"));
  out.figures.push_back(reports::figure(
      "roofline-prefill", roofline(fitting, Phase::prefill),
      "Prompts share each weight over many tokens, so arithmetic sets the time.", "prefill"));
  // Two scenarios in detail keep the page light; more are told apart by the comparisons.
  const std::size_t detailed = fitting.size() <= 2 ? fitting.size() : 0;
  for (std::size_t i = 0; i < detailed; ++i) {
    const std::string n = i == 0 ? "" : "-" + std::to_string(i + 1);
    out.figures.push_back(reports::figure("ops" + n, op_times(fitting[i], Phase::decode),
                                          "What to speed up first.", "decode"));
    out.figures.push_back(reports::figure("waterfall" + n, waterfall(fitting[i], Phase::decode),
                                          "What stands between the datasheet and the step.",
                                          "decode"));
  }
  return out;
}

}  // namespace

reports::Report planner_report(const std::vector<Case>& cases) {
  const std::vector<Subject> all = subjects(cases);
  std::vector<Subject> fitting;
  std::copy_if(all.begin(), all.end(), std::back_inserter(fitting),
               [](const Subject& s) { return s.prediction.memory.fits; });
  reports::Report r;
  r.title = cases.size() == 1 ? all.front().name : "Comparison of " + all.front().setup.llm.id;
  if (cases.size() > 1 && std::any_of(all.begin(), all.end(), [&](const Subject& s) {
        return s.setup.llm.id != all.front().setup.llm.id;
      }))
    r.title = "Comparison of " + count(static_cast<double>(all.size())) + " scenarios";
  r.question = question(cases);
  for (const Subject& s : all) r.answer += (r.answer.empty() ? "" : " ") + answer(s);
  for (const Case& c : cases)
    for (const std::string& w : c.resolved.warnings)
      if (std::find(r.warnings.begin(), r.warnings.end(), w) == r.warnings.end())
        r.warnings.push_back(w);
  if (cases.size() == 1) r.facts = facts(all.front());
  else r.sections.push_back({"Side by side", {}, {}, {comparison(cases)}});

  if (!fitting.empty()) r.sections.push_back(speed(fitting));
  reports::ReportSection space{"Memory", {}, {}, {}};
  space.figures.push_back(reports::figure("memory", memory(all),
                                          "What is left after weights and activations is the KV "
                                          "cache; it sets how many requests run at once."));
  space.figures.push_back(
      reports::figure("context", kv_context(all), "Where a curve meets a line the GPU is full."));
  r.sections.push_back(std::move(space));
  reports::ReportSection service{"Service", {}, {}, {}};
  const reports::Pareto front = pareto(all);
  add_if(service, "pareto", front, front.series.size(),
         "Larger batches earn more tokens a GPU and give each user fewer.");
  const reports::LoadCurve latency = load(all);
  add_if(service, "load", latency, latency.series.size(),
         "Closed loop: each user sends the next request when the last is answered.");
  const reports::CostContext dollars = cost(all);
  add_if(service, "cost", dollars, dollars.series.size(),
         "Longer contexts cost twice: more bytes a token, and fewer requests that share weights.");
  if (!service.figures.empty()) r.sections.push_back(std::move(service));

  r.assumptions = assumptions(cases);
  r.provenance = provenance(cases);
  const reports::RunReport run{
      .name = all.front().name, .setup = all.front().setup, .prediction = all.front().prediction};
  r.results_json = reports::to_json(run).dump();
  return r;
}

}  // namespace kvroof::cli
