// kvroof plan: GPUs for a rate under an objective, and the price; why the others lose.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "model/search_path.hpp"
#include "model/user_error.hpp"
#include "scenarios/cli/plan_output.hpp"
#include "scenarios/cli/progress.hpp"
#include "scenarios/cli/resolve.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kRows = 12;  // of the table without --all

struct Options {
  std::vector<std::string> gpus, prices, kv, models;
  std::vector<int> tensor{1, 2, 4, 8}, pipeline{1, 2}, slots;
  double max_load = .8;
  int spare = 0, most_gpus = 8, threads = 0;
  bool aggregated_only = false, all = false;
  std::string format = "table";
};

/// GPUs to choose from: named, else the sweep's axis, else those most often asked for.
std::vector<std::string> gpu_ids(const Options& o, const Scenario& s) {
  if (!o.gpus.empty()) return o.gpus;
  for (const Axis& a : s.sweep.axes)
    if (a.path == "hardware") {
      std::vector<std::string> ids;
      for (const Node& v : a.values) ids.push_back(v.text);
      return ids;
    }
  std::vector<std::string> ids{"a100-sxm-80gb", "h100-sxm-80gb", "h200-sxm-141gb",
                               "b200-sxm-180gb"};
  if (std::find(ids.begin(), ids.end(), s.hardware) == ids.end()) ids.push_back(s.hardware);
  return ids;
}

std::map<std::string, double> prices_of(const Options& o) {
  std::map<std::string, double> out;
  for (const std::string& text : o.prices) {
    const std::size_t equals = text.find('=');
    char* end = nullptr;
    const double usd =
        equals == std::string::npos ? -1 : std::strtod(text.c_str() + equals + 1, &end);
    if (!end || *end || !(usd > 0) || !std::isfinite(usd))
      throw UserError("--price: expected gpu=dollars per hour, got \"" + text + "\"");
    out[text.substr(0, equals)] = usd;
  }
  return out;
}

PlanProblem problem(Inputs in, const Options& o) {
  std::vector<std::string> warnings;
  const Scenario scenario = read_scenario(in, warnings);
  const std::map<std::string, double> prices = prices_of(o);
  PlanProblem p;
  Catalog catalog;
  std::set<std::string> used;
  for (const std::string& id : gpu_ids(o, scenario)) {
    Inputs other = in;
    other.set.push_back("hardware=" + id);
    if (const auto price = prices.find(id); price != prices.end())
      other.set.push_back(fmt::format("cost.gpu_hour_usd={}", price->second));
    else  // one price for all kinds of GPU would decide nothing
      other.set.push_back("cost.gpu_hour_usd=null");
    used.insert(id);
    std::vector<std::string> ignored;
    Resolved r = resolve(read_scenario(other, ignored), other, catalog);
    if (!r.scenario.kernel_calls().empty())
      throw UserError("kvroof plan: expected a service, got a kernel scenario (try kvroof run)");
    p.choices.machines.push_back(r.setup.machine);
    p.resolved = std::move(r);
  }
  for (const auto& [id, usd] : prices)
    if (!used.contains(id))
      throw UserError("--price: " + id + " is not among the GPUs to choose from");
  const Scenario& s = p.resolved.scenario;
  if (s.speculative || s.disaggregation || s.scheduler.policy != Batching::continuous)
    throw UserError(
        "kvroof plan: chooses pools itself and plans continuous batching without "
        "speculation; expected no speculative, disaggregation or static scheduler block");
  p.choices.tensor = o.tensor, p.choices.pipeline = o.pipeline, p.choices.max_num_seqs = o.slots;
  p.choices.disaggregated = !o.aggregated_only, p.choices.most_gpus = o.most_gpus;
  if (!o.kv.empty()) p.choices.kv.clear();
  for (const std::string& k : o.kv) {  // read by the same reader as the scenario's
    Inputs other = in;
    other.set.push_back("serving.kv_cache_dtype=" + k);
    std::vector<std::string> ignored;
    p.choices.kv.push_back(read_scenario(other, ignored).policy.kv);
  }

  plan::Goal& d = p.demand;
  d.slo = objectives(s.slo);
  if (!std::isfinite(d.slo.ttft_p99) && !std::isfinite(d.slo.tpot_p99))
    throw UserError(
        "slo: expected limits to plan for, such as --set slo.preset=mlperf-llama3.1-8b-"
        "interactive or --set slo.ttft_ms.p99=500");
  if (s.workload.request_rate) {
    d.rate = *s.workload.request_rate;
  } else {
    throw UserError(
        "workload.request_rate: expected the requests per second to plan for, such as "
        "--request-rate 50");
  }
  if (!(d.rate > 0) || !std::isfinite(d.rate))
    throw UserError("workload.request_rate: expected a rate > 0");
  Scenario traffic_of = s;
  traffic_of.workload.max_concurrency.reset();
  d.traffic = [traffic_of](double rate, std::int64_t requests) {
    Scenario one = traffic_of;
    one.workload.request_rate = rate;
    one.workload.num_requests = static_cast<double>(requests);
    serving::Trace t = traffic(one);
    if (t.requests.size() > static_cast<std::size_t>(requests))
      t.requests.resize(static_cast<std::size_t>(requests));
    return t;
  };
  const serving::Trace sample = d.traffic(d.rate, 3000);
  d.prompt = d.output = 0;
  for (const serving::Request& r : sample.requests) d.prompt += r.prompt, d.output += r.output;
  d.prompt /= static_cast<double>(sample.requests.size());
  d.output /= static_cast<double>(sample.requests.size());
  d.max_load = o.max_load, d.spare = o.spare;
  return p;
}

int plan_all(const Inputs& in, const Options& o) {
  std::vector<std::string> models = o.models;
  if (models.empty()) models.emplace_back();
  const int threads =
      o.threads > 0 ? o.threads : static_cast<int>(std::thread::hardware_concurrency());
  int exit = kOk, gpus = 0;
  double usd = 0;
  Json results = Json::array(), inputs;
  for (const std::string& model : models) {
    Inputs one = in;
    if (!model.empty()) one.set.push_back("model=" + model);
    const PlanProblem q = problem(one, o);
    const plan::Plan p = [&] {
      ProgressLine line("plan");
      return plan::make_plan(q.resolved.setup, q.demand, q.choices, threads,
                             [&](double done, double known) { line.show(done, known, "groups"); });
    }();
    if (p.cheapest) gpus += p.options[*p.cheapest].gpus, usd += p.options[*p.cheapest].usd_per_hour;
    else exit = kNo;
    if (o.format == "json") {
      inputs = Json::parse(to_json(resolved_inputs(q.resolved.scenario)));
      results.push_back(plan_json(q, p));
    } else if (o.format == "csv") {
      print_plan_csv(std::cout, p);
    } else {
      print_plan(std::cout, q, p, o.all ? p.options.size() : kRows);
      if (models.size() > 1) std::cout << '\n';
    }
  }
  if (o.format == "json") {
    const Json j{{"schema", "kvroof/result/v1"},
                 {"inputs", inputs},
                 {"results", models.size() == 1 ? results[0] : Json{{"plans", results}}},
                 {"warnings", Json::array()}};
    std::cout << j.dump(2) << '\n';
  } else if (models.size() > 1 && o.format == "table") {
    std::cout << fmt::format("all {} models, the cheapest of each: {} GPUs, ${:.2f} per hour\n",
                             models.size(), gpus, usd);
  }
  return exit;
}

}  // namespace

void add_plan(CLI::App& app, int& exit_code) {
  CLI::App* verb = app.add_subcommand(
      "plan", "the cheapest and the smallest deployments for a request rate under an SLO");
  auto in = add_inputs(*verb);
  auto o = std::make_shared<Options>();
  verb->add_option("--gpus", o->gpus, "GPUs to choose from; else the sweep's hardware axis")
      ->delimiter(',');
  verb->add_option("--models", o->models, "plan each of these networks")->delimiter(',');
  verb->add_option("--tp", o->tensor, "tensor_parallel_size to try")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  verb->add_option("--pp", o->pipeline, "pipeline_parallel_size to try")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  verb->add_option("--kv", o->kv, "kv_cache_dtype to try: auto,fp8")->delimiter(',');
  verb->add_option("--slots", o->slots, "max_num_seqs to try")
      ->delimiter(',')
      ->check(CLI::Range(1, 1000000));
  verb->add_option("--most-gpus", o->most_gpus, "GPUs of one engine group at most")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb->add_option("--price", o->prices, "gpu=dollars per GPU-hour; else the profile's")
      ->take_all();
  verb->add_option("--max-load", o->max_load, "share of a group's capacity that is used")
      ->check(CLI::Range(.01, 1.))
      ->capture_default_str();
  verb->add_option("--spare", o->spare, "groups more than the load needs")
      ->check(CLI::Range(0, 1000));
  verb->add_flag("--aggregated-only", o->aggregated_only,
                 "no pools of their own for prefill and decode");
  verb->add_flag("--all", o->all, "every option");
  verb->add_option("--threads", o->threads, "0: as many as the machine has")
      ->check(CLI::Range(0, 4096));
  verb->add_option("--format", o->format, "table | json | csv")
      ->check(CLI::IsMember({"table", "json", "csv"}));
  verb->callback([in, o, &exit_code] { exit_code = plan_all(*in, *o); });
}

}  // namespace kvroof::cli
