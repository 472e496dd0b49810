// kvroof plan: GPUs for a rate under an objective, and the price; why the others lose.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "model/plan/plan.hpp"
#include "model/search_path.hpp"
#include "model/user_error.hpp"
#include "reports/grid.hpp"
#include "reports/text.hpp"
#include "scenarios/cli/resolve.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;
using plan::Option;

struct Options {
  std::vector<std::string> gpus, prices, kv, models;
  std::vector<int> tensor{1, 2, 4, 8}, pipeline{1, 2}, slots;
  double max_load = .8;
  int spare = 0, most_gpus = 8, threads = 0, rows = 12;
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

struct Problem {
  Resolved resolved;
  plan::Goal demand;
  plan::Choices choices;
};

Problem problem(Inputs in, const Options& o) {
  std::vector<std::string> warnings;
  const Scenario scenario = read_scenario(in, warnings);
  const std::map<std::string, double> prices = prices_of(o);
  Problem p;
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

/// The title without what all options share.
std::string label(std::string title, const plan::Choices& c) {
  if (c.max_num_seqs.size() > 1) return title;
  for (std::size_t at; (at = title.find(" slots")) != std::string::npos;) {
    const std::size_t comma = title.rfind(", ", at);
    title.erase(comma, at + 6 - comma);
  }
  return title;
}

std::string groups(const Option& o) {
  const int each = o.setup.policy.parallel.gpus();
  return o.prefill ? fmt::format("{} x {} + {} x {}", o.prefill_groups,
                                 o.prefill->policy.parallel.gpus(), o.groups, each)
                   : fmt::format("{} x {}", o.groups, each);
}

std::string seconds(double s) { return std::isfinite(s) ? reports::text(Seconds{s}) : "any"; }

/// Why an option that could serve was not taken.
std::string loses(const Option& o, const Option& best) {
  if (!o.serves()) return "no: " + o.refusal;
  if (o.usd_per_hour <= best.usd_per_hour)
    return o.gpus > best.gpus ? fmt::format("same price, {} more GPUs", o.gpus - best.gpus) : "";
  return fmt::format("{:.0f} % dearer: {:.3g} req/s a GPU",
                     100 * (o.usd_per_hour / best.usd_per_hour - 1),
                     o.prefill ? o.capacity / o.gpus : o.capacity / o.setup.policy.parallel.gpus());
}

Json tails_json(const plan::Tails& t) {
  return {{"ttft_p99_s", t.ttft}, {"tpot_p99_s", t.tpot}, {"mean_batch", t.mean_batch}};
}

Json option_json(const Option& o, const Option* best) {
  Json j{
      {"option", plan::title(o)}, {"disaggregated", o.prefill.has_value()}, {"serves", o.serves()}};
  if (!o.serves()) {
    j["why_not"] = o.refusal;
    if (o.own.idle.ttft > 0) j["idle"] = tails_json(o.own.idle);
    return j;
  }
  j["groups"] = o.groups;
  if (o.prefill) j["prefill_groups"] = o.prefill_groups;
  j["gpus"] = o.gpus, j["load"] = o.load, j["capacity_req_s_per_group"] = o.capacity;
  j["usd_per_hour"] = o.usd_per_hour;
  j["usd_per_million_output_tokens"] = o.usd_per_million_output_tokens;
  if (o.tails.ttft > 0) j["at_load"] = tails_json(o.tails);
  if (best) j["why_not"] = loses(o, *best);
  return j;
}

/// The nearest that can be had, and what would have to change. Exit 1: the answer is no.
void print_impossible(std::ostream& out, const plan::Plan& p, const Problem& q) {
  const plan::Goal& d = q.demand;
  out << "NO option meets it.\n";
  for (const Option& o : p.options)
    out << "  " << label(plan::title(o), q.choices) << ": " << o.refusal << '\n';
  if (!p.no_pools.empty()) out << "  pools of their own: " << label(p.no_pools, q.choices) << '\n';
  const auto r = plan::reach(p);
  if (!r) return;
  out << fmt::format("\nidle GPUs do TTFT p99 {} at best ({}), TPOT p99 {} ({})\n",
                     seconds(r->ttft), label(r->ttft_of, q.choices), seconds(r->tpot),
                     label(r->tpot_of, q.choices));
  out << fmt::format("speed of light of these GPUs: {} to the first token, {} a token\n",
                     seconds(r->ttft_floor), seconds(r->tpot_floor));
  const auto change = [&](const char* what, double best, double limit, double floor) {
    if (best <= limit) return;
    out << fmt::format("to change: {} p99 to {} or more{}\n", what, seconds(best),
                       floor > limit
                           ? fmt::format("; the limit is {:.2g}x below the speed of light, which "
                                         "takes more bandwidth, more GPUs a group or fewer bytes",
                                         floor / limit)
                           : "; or a narrower format, more GPUs a group, a shorter prompt");
  };
  change("TTFT", r->ttft, d.slo.ttft_p99, r->ttft_floor);
  change("TPOT", r->tpot, d.slo.tpot_p99, r->tpot_floor);
}

void print_table(std::ostream& out, const Problem& q, const plan::Plan& p, const Options& o) {
  const plan::Goal& d = q.demand;
  out << fmt::format(
      "Serve {:.4g} req/s of {} ({:.0f} in / {:.0f} out) with TTFT p99 <= {}, TPOT "
      "p99 <= {}\n\n",
      d.rate, q.resolved.setup.llm.id, d.prompt, d.output, seconds(d.slo.ttft_p99),
      seconds(d.slo.tpot_p99));
  if (!p.cheapest) return print_impossible(out, p, q);
  const Option& best = p.options[*p.cheapest];
  reports::Grid g("llrrrrrrrl");
  g.row({"", "option", "groups x GPUs", "GPUs", "load", "TTFT p99", "TPOT p99", "$/h", "$/Mtok out",
         "why not"});
  int shown = 0, silent = 0;
  for (std::size_t i = 0; i < p.options.size(); ++i) {
    const Option& x = p.options[i];
    const bool chosen = i == *p.cheapest || i == *p.smallest;
    if (!o.all && !chosen && shown >= o.rows) {
      ++silent;
      continue;
    }
    ++shown;
    const std::string mark = i == *p.cheapest   ? (i == *p.smallest ? "$#" : "$")
                             : i == *p.smallest ? "#"
                                                : "";
    if (!x.serves()) {
      g.row({mark, label(plan::title(x), q.choices), "", "", "", "", "", "", "", loses(x, best)});
      continue;
    }
    const bool known = x.tails.ttft > 0;
    g.row({mark, label(plan::title(x), q.choices), groups(x), fmt::format("{}", x.gpus),
           fmt::format("{:.0f} %", 100 * x.load), known ? seconds(x.tails.ttft) : "",
           known ? seconds(x.tails.tpot) : "", fmt::format("{:.2f}", x.usd_per_hour),
           fmt::format("{:.3f}", x.usd_per_million_output_tokens), loses(x, best)});
  }
  g.print(out, "  ");
  if (!p.no_pools.empty()) out << "  pools of their own: " << label(p.no_pools, q.choices) << '\n';
  out << "\n$ cheapest  # fewest GPUs";
  if (silent > 0) out << fmt::format("  ({} more: --all, --format csv)", silent);
  out << fmt::format(
      "\nload is kept <= {:.0f} % of what a group serves within the limits (simulated "
      "p99){}\n",
      100 * d.max_load, d.spare ? fmt::format(", {} spare groups", d.spare) : "");
  if (!p.sensitivity.empty()) {
    out << "\nsensitive to (the leading options, simulated and sized anew)\n";
    reports::Grid t("lrrl");
    t.row({"", "GPUs", "$/h", "cheapest then"});
    for (const plan::Sensitivity& s : p.sensitivity)
      t.row({s.what, s.gpus ? fmt::format("{}", s.gpus) : "none",
             s.gpus ? fmt::format("{:.2f}", s.usd_per_hour) : "",
             s.other ? label(s.best, q.choices) : "same"});
    t.print(out, "  ");
  }
  out << "\nprices:";
  for (const Machine& m : q.choices.machines)
    out << fmt::format(" {} ${:.2f}", m.id, m.gpu_hour_usd);
  out << " per GPU-hour (inputs: --price gpu=dollars)\n";
}

void print_csv(std::ostream& out, const plan::Plan& p) {
  reports::Grid g("l");
  g.row({"option", "serves", "groups", "prefill_groups", "gpus", "load", "capacity_req_s_per_group",
         "ttft_p99_s", "tpot_p99_s", "usd_per_hour", "usd_per_million_output_tokens", "why_not"});
  for (const Option& o : p.options) {
    const auto n = [&](double v) { return o.serves() ? fmt::format("{}", v) : ""; };
    g.row({plan::title(o), o.serves() ? "true" : "false", n(o.groups), n(o.prefill_groups),
           n(o.gpus), n(o.load), n(o.capacity), o.tails.ttft > 0 ? n(o.tails.ttft) : "",
           o.tails.tpot > 0 ? n(o.tails.tpot) : "", n(o.usd_per_hour),
           n(o.usd_per_million_output_tokens),
           p.cheapest ? loses(o, p.options[*p.cheapest]) : o.refusal});
  }
  g.print_csv(out);
}

Json plan_json(const Problem& q, const plan::Plan& p) {
  Json options = Json::array(), sensitivity = Json::array();
  const Option* best = p.cheapest ? &p.options[*p.cheapest] : nullptr;
  for (const Option& o : p.options) options.push_back(option_json(o, best));
  for (const plan::Sensitivity& s : p.sensitivity)
    sensitivity.push_back({{"what", s.what},
                           {"gpus", s.gpus},
                           {"usd_per_hour", s.usd_per_hour},
                           {"cheapest", s.best},
                           {"other", s.other}});
  Json j{{"model", q.resolved.setup.llm.id},
         {"request_rate", q.demand.rate},
         {"cheapest", best ? option_json(*best, nullptr) : Json()},
         {"smallest", p.smallest ? option_json(p.options[*p.smallest], nullptr) : Json()},
         {"options", options},
         {"why_no_pools", p.no_pools},
         {"sensitivity", sensitivity}};
  if (const auto r = plan::reach(p); r && !best)
    j["reach"] = {{"ttft_p99_s", r->ttft},
                  {"tpot_p99_s", r->tpot},
                  {"ttft_floor_s", r->ttft_floor},
                  {"tpot_floor_s", r->tpot_floor}};
  return j;
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
    const Problem q = problem(one, o);
    const plan::Plan p = plan::make_plan(q.resolved.setup, q.demand, q.choices, threads);
    if (p.cheapest) gpus += p.options[*p.cheapest].gpus, usd += p.options[*p.cheapest].usd_per_hour;
    else exit = kNo;
    if (o.format == "json") {
      inputs = Json::parse(to_json(resolved_inputs(q.resolved.scenario)));
      results.push_back(plan_json(q, p));
    } else if (o.format == "csv") {
      print_csv(std::cout, p);
    } else {
      print_table(std::cout, q, p, o);
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
