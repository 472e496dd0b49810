// kvroof simulate: the scenario through the event simulator: percentiles, goodput, saturation.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "model/serve_scenario.hpp"
#include "model/user_error.hpp"
#include "reports/grid.hpp"
#include "reports/notes.hpp"
#include "reports/text.hpp"
#include "scenarios/cli/output.hpp"
#include "scenarios/cli/progress.hpp"
#include "scenarios/cli/resolve.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string format, file, chrome_trace;
  bool strict = false;
};

Json to_json(const serving::Summary& s) {
  return {{"mean", s.mean}, {"p50", s.p50}, {"p90", s.p90},
          {"p95", s.p95},   {"p99", s.p99}, {"max", s.max}};
}

Json to_json(const Resolved& r, const ServiceRun& run) {
  const serving::Service& s = run.service;
  Json timeline = Json::array();
  for (const serving::Sample& x : s.timeline)
    timeline.push_back({x.time, x.running, x.waiting, x.blocks});
  std::vector<std::string> warnings = r.warnings;
  warnings.insert(warnings.end(), run.warnings.begin(), run.warnings.end());
  return {{"schema", "kvroof/result/v1"},
          {"inputs", Json::parse(to_json(resolved_inputs(r.scenario)))},
          {"results",
           {{"requests", s.records.size()},
            {"verdict", std::string(name(s.verdict))},
            {"ttft_s", to_json(s.ttft)},
            {"tpot_s", to_json(s.tpot)},
            {"itl_s", to_json(s.itl)},
            {"e2e_s", to_json(s.e2e)},
            {"duration_s", s.duration},
            {"request_rate", s.request_rate},
            {"output_tok_s", s.output_rate},
            {"total_tok_s", s.total_rate},
            {"output_tok_s_per_gpu", s.output_rate / run.gpus},
            {"goodput_req_s", run.goodput},
            {"meets_slo", run.meets_slo},
            {"usd_per_million_output_tokens", run.usd_per_million_output_tokens},
            {"gpus", run.gpus},
            {"mean_batch", s.mean_batch},
            {"kv",
             {{"pool_tokens", run.pool_tokens},
              {"mean_share", s.pool_share},
              {"useful_share", s.useful_share},
              {"peak_blocks", s.counters.peak_blocks}}},
            {"preemptions", s.counters.preemptions},
            {"steps", s.counters.steps},
            {"timeline_s_running_waiting_blocks", timeline}}},
          {"warnings", warnings}};
}

std::string seconds(double s) { return reports::text(Seconds{s}); }

reports::Grid latencies(const serving::Service& s) {
  reports::Grid g("lrrrrrr");
  g.row({"", "mean", "p50", "p90", "p95", "p99", "max"});
  for (const auto& [what, x] :
       {std::pair{"TTFT", &s.ttft}, {"TPOT", &s.tpot}, {"ITL", &s.itl}, {"E2E", &s.e2e}})
    g.row({what, seconds(x->mean), seconds(x->p50), seconds(x->p90), seconds(x->p95),
           seconds(x->p99), seconds(x->max)});
  return g;
}

/// What to ask after this run: more GPUs for a rate that is too high, a picture of the load.
std::vector<std::string> next_steps(const Inputs& in, const Scenario& s, const ServiceRun& run) {
  if (in.file.empty()) return {};
  std::vector<std::string> next;
  const bool short_of = run.service.verdict == serving::Verdict::overloaded || !run.meets_slo;
  if (s.workload.request_rate && short_of) next.push_back("kvroof plan " + in.file);
  next.push_back("kvroof plot load " + in.file);
  next.push_back("kvroof simulate " + in.file + " --chrome-trace trace.json   (ui.perfetto.dev)");
  return next;
}

void print(std::ostream& out, const Resolved& r, const ServiceRun& run, const std::string& format,
           const std::vector<std::string>& next) {
  const serving::Service& s = run.service;
  const reports::Grid table = latencies(s);
  if (format == "csv") return table.print_csv(out);
  if (format == "md") return table.print_markdown(out);
  std::string gpus = fmt::format("{} x {}", run.gpus, r.setup.machine.id);
  if (const auto& d = r.scenario.disaggregation; d && !d->prefill_hardware.empty())
    gpus = fmt::format("{} x {} prefill + {} x {} decode", d->prefill_gpus, d->prefill_hardware,
                       d->decode_gpus, r.setup.machine.id);
  out << fmt::format("{} · {} · {} · {} requests over {:.1f} s simulated\n\n",
                     r.scenario.name.empty() ? r.setup.llm.id : r.scenario.name, r.setup.llm.id,
                     gpus, s.records.size(), s.duration);
  std::string verdict(name(s.verdict));
  for (char& c : verdict) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  out << fmt::format(
      "{}  {} requests/s done, {} output tok/s{}, ${} per million output tokens\n\n", verdict,
      reports::number(s.request_rate), reports::number(s.output_rate),
      run.gpus > 1 ? fmt::format(", {} output tok/s/GPU", reports::number(s.output_rate / run.gpus))
                   : "",
      reports::number(run.usd_per_million_output_tokens));
  table.print(out, "  ");
  const Parallelism& p = r.setup.policy.parallel;
  const int engines = p.data * p.pipeline;
  out << fmt::format("\n  mean decode batch {:.1f}{}, most waiting {}\n", s.mean_batch,
                     engines > 1 && !r.scenario.disaggregation
                         ? fmt::format(" on each of {} {}", engines,
                                       p.data > 1 ? "replicas" : "pipeline micro-batches")
                         : "",
                     s.counters.peak_waiting);
  if (r.scenario.scheduler.policy == Batching::static_batching)
    out << fmt::format("  {} of the decode steps' slots held a request that was not done\n",
                       reports::percent(s.useful_share));
  else
    out << fmt::format("  KV pool {} tokens{}: {} held on average, {} preemptions\n",
                       reports::count(static_cast<double>(run.pool_tokens)),
                       engines > 1 && !r.scenario.disaggregation ? " each" : "",
                       reports::percent(s.pool_share), s.counters.preemptions);
  const Objectives slo = objectives(r.scenario.slo);
  if (std::isfinite(slo.ttft_p99) || std::isfinite(slo.tpot_p99))
    out << fmt::format("  SLO {}: TTFT p99 <= {}, TPOT p99 <= {}; goodput {:.2f} requests/s\n",
                       run.meets_slo ? "MET" : "MISSED", seconds(slo.ttft_p99),
                       seconds(slo.tpot_p99), run.goodput);
  out << '\n';
  reports::Notes notes{r.assumed, r.warnings, next};
  notes.warnings.insert(notes.warnings.end(), run.warnings.begin(), run.warnings.end());
  reports::print_notes(out, notes);
}

/// A trace says the lengths itself; the operating point that `run` works at gets their means.
Resolved resolve_traffic(Inputs in) {
  std::vector<std::string> warnings;
  Scenario scenario = read_scenario(in, warnings);
  if (scenario.workload.input_len.trace.empty()) return resolve(in);
  double prompt = 0, output = 0;
  const std::vector<serving::Lengths> all = serving::lengths(traffic(scenario));
  for (const serving::Lengths& l : all)
    prompt += static_cast<double>(l.prompt), output += static_cast<double>(l.output);
  const auto n = static_cast<double>(all.size());
  in.set.push_back(fmt::format("workload.input_len={:.0f}", prompt / n));
  in.set.push_back(fmt::format("workload.output_len={:.0f}", output / n));
  Resolved r = resolve(in);
  r.scenario = std::move(scenario);
  return r;
}

/// What one token of a draft network costs, over a step of the target: both predicted.
void price_draft(const Inputs& in, Resolved& r) {
  auto& s = r.scenario.speculative;
  if (!s || s->draft_cost || s->draft_model.empty()) return;
  Inputs draft = in;
  draft.set.push_back("model=" + s->draft_model);
  const Setup small = resolve_traffic(draft).setup;
  s->draft_cost = predict(small).decode.step.expected / predict(r.setup).decode.step.expected;
  r.assumed.push_back(fmt::format("a token of {} takes {} of a step of {} (predicted)",
                                  small.llm.id, reports::percent(*s->draft_cost), r.setup.llm.id));
}

int simulate(const Inputs& in, const Options& o) {
  Output output(o.file);
  Resolved r = resolve_traffic(in);
  if (!r.scenario.kernel_calls().empty())
    throw UserError("kvroof simulate: expected a service, got a kernel scenario (try kvroof run)");
  price_draft(in, r);
  std::optional<Setup> prefill;
  if (const auto& pools = r.scenario.disaggregation; pools && !pools->prefill_hardware.empty()) {
    Inputs other = in;
    other.set.push_back("hardware=" + pools->prefill_hardware);
    prefill = resolve_traffic(other).setup;
  }
  ProgressLine line("simulate");
  const ServiceRun run = simulate_scenario(
      r.scenario, r.setup, prefill ? &*prefill : nullptr,
      [&](double done, double requests) { line.show(done, requests, "requests"); });
  if (!o.chrome_trace.empty()) Output(o.chrome_trace).stream() << chrome_trace(run.service);
  const std::string format = o.format.empty() ? format_of_file(o.file) : o.format;
  if (format == "json") output.stream() << to_json(r, run).dump(2) << '\n';
  else print(output.stream(), r, run, format, next_steps(in, r.scenario, run));
  return o.strict && !run.meets_slo ? kNo : kOk;
}

}  // namespace

void add_simulate(CLI::App& app, int& exit_code) {
  CLI::App* verb = app.add_subcommand(
      "simulate", "the scenario request by request: percentiles, goodput, saturation");
  auto in = add_inputs(*verb);
  auto o = std::make_shared<Options>();
  verb->add_option("--format", o->format, "table | json | csv | md; else by the ending of -o")
      ->check(CLI::IsMember({"table", "json", "csv", "md"}));
  verb->add_option("-o,--output", o->file, "write to a file instead of stdout");
  verb->add_option("--chrome-trace", o->chrome_trace, "write requests and load for Perfetto");
  verb->add_flag("--strict", o->strict, "exit 1 when the SLO is missed");
  verb->callback([in, o, &exit_code] { exit_code = simulate(*in, *o); });
}

}  // namespace kvroof::cli
