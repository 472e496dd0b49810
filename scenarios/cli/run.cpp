// kvroof run: does it fit, how fast, limited by what.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "model/user_error.hpp"
#include "reports/braille.hpp"
#include "reports/kernel_report.hpp"
#include "reports/run_report.hpp"
#include "scenarios/cli/figure_data.hpp"
#include "scenarios/cli/kernel_op.hpp"
#include "scenarios/cli/output.hpp"
#include "scenarios/cli/resolve.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;

Json inputs_json(const Scenario& s) { return Json::parse(to_json(resolved_inputs(s))); }

std::vector<reports::KernelRow> evaluate_kernels(const Resolved& r) {
  std::vector<reports::KernelRow> rows;
  const Machine& m = r.setup.machine;
  for (const KernelCall& call : r.scenario.kernel_calls()) {
    const Op op = kernel_op(call, m);
    rows.push_back({call, op, time(op, m, Launch::graph)});
  }
  return rows;
}

int run_kernels(const Resolved& r, const std::string& format, std::ostream& out) {
  const reports::KernelReport report{r.scenario.name, r.setup.machine, evaluate_kernels(r)};
  if (format == "json") {
    Json j = reports::to_json(report);
    j["inputs"] = inputs_json(r.scenario);
    out << j.dump(2) << '\n';
  } else {
    reports::print(out, report, format);
  }
  return kOk;
}

/// What the scenario asks for and one step cannot show.
std::vector<std::string> left_to_simulate(const Scenario& s) {
  std::vector<std::string> left;
  if (s.speculative) left.push_back("speculative decoding");
  if (s.disaggregation) left.push_back("the pools for prefill and decode");
  if (s.scheduler.policy == Batching::static_batching) left.push_back("static batching");
  return left;
}

/// "kv_cache_dtype fp8" -> "--kv-cache-dtype fp8"; empty for what is not one serving key.
std::string as_flag(const std::string& change) {
  if (change.find("_") == std::string::npos || change.find("requests") != std::string::npos)
    return "";
  std::string flag = change.substr(0, change.find(' '));
  std::replace(flag.begin(), flag.end(), '_', '-');
  return "--" + flag + change.substr(change.find(' '));
}

std::vector<std::string> next_steps(const Inputs& in, const Scenario& s, const Setup& setup,
                                    const Prediction& p) {
  if (in.file.empty()) return {};
  if (!p.memory.fits) {
    std::vector<std::string> next{"kvroof explain " + in.file + " fits"};
    for (const std::string& change : p.memory.would_fit)
      if (const std::string flag = as_flag(change); !flag.empty()) {
        next.push_back("kvroof run " + in.file + " " + flag);
        break;
      }
    return next;
  }
  std::vector<std::string> next{"kvroof explain " + in.file + " tpot"};
  const Work& w = p.decode.work;
  const bool kv_matters = w.read.kv > 0.1 * w.hbm_read();
  const bool percentiles = s.slo != Slo{} || s.workload.request_rate;
  if (!left_to_simulate(s).empty() || percentiles) next.push_back("kvroof simulate " + in.file);
  else if (kv_matters && element_size(setup.policy.kv_dtype()) > element_size(Dtype::fp8))
    next.push_back("kvroof run " + in.file + " --kv-cache-dtype fp8");
  else if (!setup.point.lock_step) next.push_back("kvroof simulate " + in.file);
  return next;
}

struct Options {
  std::string format, file, trace;
  bool dry_run = false, plot = false;
};

/// The decode step as a Chrome trace, and its roofline below the table.
void draw(const reports::RunReport& report, const Options& o, Output& output, bool table) {
  const Subject subject{
      .name = report.name, .setup = report.setup, .prediction = report.prediction};
  if (!o.trace.empty()) {
    Output file(o.trace);
    file.stream() << reports::chrome_trace(trace(subject, Phase::decode));
  }
  if (o.plot && table)
    output.stream() << '\n'
                    << reports::terminal_roofline(roofline({&subject, 1}, Phase::decode),
                                                  {.utf8 = output.unicode()});
}

int run(const Inputs& in, const Options& o) {
  const std::string format = o.format.empty() ? format_of_file(o.file) : o.format;
  const Resolved r = resolve(in);
  if (o.dry_run) {
    std::cout << "ok\n";
    return kOk;
  }
  Output output(o.file);
  if (!r.scenario.kernel_calls().empty()) return run_kernels(r, format, output.stream());
  reports::RunReport report{.name = r.scenario.name.empty() ? r.setup.llm.id : r.scenario.name,
                            .setup = r.setup,
                            .assumed = r.assumed,
                            .warnings = r.warnings};
  try {
    report.prediction = predict(r.setup);
  } catch (const std::domain_error& e) {
    throw UserError(e.what());
  }
  for (const std::string& what : left_to_simulate(r.scenario))
    report.warnings.push_back(what + " left out: this is one pool under continuous batching; " +
                              "kvroof simulate has it");
  report.next = next_steps(in, r.scenario, r.setup, report.prediction);
  Json inputs = inputs_json(r.scenario);
  report.inputs = &inputs;
  std::ostream& out = output.stream();
  if (format == "json") out << reports::to_json(report).dump(2) << '\n';
  else if (format == "csv") reports::print_csv(out, report);
  else if (format == "md") reports::print_markdown(out, report);
  else reports::print_table(out, report, output.unicode());
  if (report.prediction.memory.fits) draw(report, o, output, format == "table");
  return report.prediction.memory.fits ? kOk : kNo;
}

}  // namespace

void add_run(CLI::App& app, int& exit_code) {
  CLI::App* verb =
      app.add_subcommand("run", "one scenario: does it fit, how fast, limited by what");
  auto in = add_inputs(*verb);
  auto o = std::make_shared<Options>();
  verb->add_option("--format", o->format, "table | json | csv | md; else by the ending of -o")
      ->check(CLI::IsMember({"table", "json", "csv", "md"}));
  verb->add_option("-o,--output", o->file, "write to a file instead of stdout");
  verb->add_flag("--dry-run", o->dry_run, "check the scenario and stop");
  verb->add_flag("--plot", o->plot, "the roofline of the decode step below the table");
  verb->add_option("--trace", o->trace, "the decode step as Chrome trace events (Perfetto)");
  verb->callback([in, o, &exit_code] { exit_code = run(*in, *o); });
}

}  // namespace kvroof::cli
