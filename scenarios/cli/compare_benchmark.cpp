#include "scenarios/cli/compare_benchmark.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "model/plan/benchmark_file.hpp"
#include "model/serve_scenario.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"
#include "reports/grid.hpp"
#include "reports/text.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;

/// One figure both sides have. `judged`: it decides the exit code.
struct Line {
  std::string key;  // of JSON, SI
  const char* words;
  double predicted, low, high, measured;
  bool rate = false, judged = false;
  double error() const { return predicted / measured - 1; }
  bool inside() const { return measured >= low && measured <= high; }
};

/// The run that was measured, in the scenario's words; what the file does not say stays.
void ask_the_same(Inputs& in, const plan::BenchmarkFile& f) {
  const auto set = [&](const char* key, double v) {
    in.set.push_back(fmt::format("workload.{}={}", key, v));
  };
  if (f.input_tokens) set("input_len", std::max(1., std::round(*f.input_tokens)));
  if (f.output_tokens) set("output_len", std::max(1., std::round(*f.output_tokens)));
  if (f.requests) set("num_requests", *f.requests);
  if (f.request_rate) {
    set("request_rate", *f.request_rate);
    if (f.burstiness) set("burstiness", *f.burstiness);
    in.set.push_back("workload.max_concurrency=null");
  } else if (f.concurrency || f.requests) {  // an infinite rate without a cap: all at once
    set("max_concurrency", std::min(f.concurrency.value_or(*f.requests), *f.requests));
    in.set.push_back("workload.request_rate=null");
  }
}

std::vector<Line> lines(const ServiceRun& run, const Prediction& p, const plan::BenchmarkFile& f) {
  const serving::Service& s = run.service;
  const double step = (p.tpot_high - p.tpot) / p.tpot;
  const double first = p.ttft_step.spread / p.ttft_step.expected;
  std::vector<Line> out;
  const auto add = [&](const char* key, const char* words, double predicted, double spread,
                       std::optional<double> measured, bool rate, bool judged) {
    if (measured)
      out.push_back({key, words, predicted, predicted / (1 + spread), predicted * (1 + spread),
                     *measured, rate, judged});
  };
  add("output_tok_s", "output tok/s", s.output_rate, step, f.output_rate, true, true);
  add("request_rate", "requests/s", s.request_rate, step, f.request_rate_done, true, false);
  const auto latency = [&](const std::string& key, const char* const words[3],
                           const serving::Summary& x, const plan::MeasuredLatency& y, double spread,
                           bool judged) {
    const bool median = y.p50.has_value();
    add((key + ".mean").c_str(), words[0], x.mean, spread, y.mean, false, judged && !median);
    add((key + ".p50").c_str(), words[1], x.p50, spread, y.p50, false, judged);
    add((key + ".p99").c_str(), words[2], x.p99, spread, y.p99, false, false);
  };
  constexpr const char* kTtft[] = {"TTFT mean", "TTFT median", "TTFT p99"};
  constexpr const char* kTpot[] = {"TPOT mean", "TPOT median", "TPOT p99"};
  constexpr const char* kItl[] = {"ITL mean", "ITL median", "ITL p99"};
  constexpr const char* kE2e[] = {"E2E mean", "E2E median", "E2E p99"};
  latency("ttft_s", kTtft, s.ttft, f.ttft, std::max(first, step), true);
  latency("tpot_s", kTpot, s.tpot, f.tpot, step, true);
  latency("itl_s", kItl, s.itl, f.itl, step, false);
  latency("e2e_s", kE2e, s.e2e, f.e2e, step, false);
  return out;
}

/// Where the rest most likely comes from. The median gap is a step without prompts, the mean also
/// holds the steps with prompts, so the two tell a slow step from prefills in the way.
std::string reason(const ServiceRun& run, const plan::BenchmarkFile& f) {
  const serving::Service& s = run.service;
  const auto ms = [](double v) { return fmt::format("{:+.2f} ms", v / milli); };
  const std::optional<double> mean = f.tpot.mean ? f.tpot.mean : f.itl.mean;
  if (f.itl.p50 && mean) {
    const double step = *f.itl.p50 - s.itl.p50;
    const double prefill = (*mean - *f.itl.p50) - (s.tpot.mean - s.itl.p50);
    if (std::abs(step) >= std::abs(prefill))
      return fmt::format(
          "decode steps: measured {:.2f} ms where {:.2f} ms are predicted at a mean batch of "
          "{:.0f} "
          "({}; prefills between them {})",
          *f.itl.p50 / milli, s.itl.p50 / milli, s.mean_batch, ms(step), ms(prefill));
    return fmt::format(
        "prefills between decode steps: they add {:.2f} ms to a token where {:.2f} ms are "
        "predicted "
        "({}; the steps themselves {})",
        (*mean - *f.itl.p50) / milli, (s.tpot.mean - s.itl.p50) / milli, ms(prefill), ms(step));
  }
  if (mean)
    return fmt::format(
        "{} a token; the file has no median gap between tokens, which would tell "
        "slow steps from prefills in the way",
        ms(*mean - s.tpot.mean));
  return "the file holds no time per token";
}

std::string shown(const Line& l, double v) {
  return l.rate ? reports::number(v, 4) : reports::text(Seconds{v});
}

}  // namespace

int compare_with_benchmark(const Inputs& given, const std::string& file, double tolerance,
                           const std::string& format) {
  const plan::BenchmarkFile f = plan::read_benchmark(read_text_file(file, 64u << 20), file);
  Inputs in = given;
  ask_the_same(in, f);
  const Resolved r = resolve(in);
  if (!r.scenario.kernel_calls().empty())
    throw UserError("kvroof compare: expected a service, got a kernel scenario");
  const ServiceRun run = simulate_scenario(r.scenario, r.setup);
  const std::vector<Line> all = lines(run, predict(r.setup), f);
  if (all.empty()) throw UserError(file + ": no figure in it can be compared");
  std::vector<std::string> warnings = r.warnings;
  if (!f.model.empty() && f.model != r.scenario.model && f.model != r.setup.llm.id &&
      f.model.substr(f.model.rfind('/') + 1) !=
          r.scenario.model.substr(r.scenario.model.rfind('/') + 1))
    warnings.push_back(
        fmt::format("the file measured {}, the scenario serves {}", f.model, r.scenario.model));
  bool within = true;
  for (const Line& l : all) within = within && (!l.judged || std::abs(l.error()) <= tolerance);
  const std::string why = reason(run, f);

  if (format == "json") {
    Json figures = Json::array();
    for (const Line& l : all)
      figures.push_back({{"name", l.key},
                         {"predicted", l.predicted},
                         {"range", {l.low, l.high}},
                         {"measured", l.measured},
                         {"error", l.error()},
                         {"inside_range", l.inside()}});
    const Json j{{"schema", "kvroof/result/v1"},
                 {"inputs", Json::parse(to_json(resolved_inputs(r.scenario)))},
                 {"results",
                  {{"tool", f.tool},
                   {"figures", figures},
                   {"tolerance", tolerance},
                   {"within_tolerance", within},
                   {"reason", why}}},
                 {"warnings", warnings}};
    std::cout << j.dump(2) << '\n';
    return within ? kOk : kNo;
  }
  reports::Grid g("l");
  g.row({"", "predicted", "likely range", "measured", "error", "inside range"});
  for (const Line& l : all)
    g.row({l.words, shown(l, l.predicted), shown(l, l.low) + " – " + shown(l, l.high),
           shown(l, l.measured), fmt::format("{:+.1f} %", 100 * l.error()),
           l.inside() ? "yes" : "no"});
  if (format == "csv") return g.print_csv(std::cout), within ? kOk : kNo;
  if (format == "md") return g.print_markdown(std::cout), within ? kOk : kNo;
  std::cout << fmt::format("{} against {} ({}, {:.0f} requests)\n\n", r.scenario.name, file, f.tool,
                           *f.requests);
  g.print(std::cout, "  ");
  std::cout << "\nmost likely reason for the rest: " << why << '\n';
  std::cout << fmt::format("throughput, TTFT and TPOT {} within {:.0f} %\n",
                           within ? "are" : "are not all", 100 * tolerance);
  for (const std::string& w : warnings) std::cout << "warning: " << w << '\n';
  return within ? kOk : kNo;
}

}  // namespace kvroof::cli
