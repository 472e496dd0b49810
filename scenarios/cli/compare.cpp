// kvroof compare: two scenarios (which op, which bytes, why), or a scenario and a benchmark's file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "model/gap_parts.hpp"
#include "model/plan/op_deltas.hpp"
#include "model/user_error.hpp"
#include "reports/grid.hpp"
#include "reports/text.hpp"
#include "scenarios/cli/compare_benchmark.hpp"
#include "scenarios/cli/resolve.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;
using plan::OpDelta;

struct Side {
  Resolved resolved;
  Prediction prediction;
  std::string title() const {
    const Setup& s = resolved.setup;
    return fmt::format("{}: {} on {} x {}, batch {:.0f}", resolved.scenario.name, s.llm.id,
                       s.policy.parallel.gpus(), s.machine.id, s.point.batch);
  }
};

Side side(const Inputs& in) {
  Side s{.resolved = resolve(in)};
  if (!s.resolved.scenario.kernel_calls().empty())
    throw UserError(in.file + ": expected a service, got a kernel scenario (try kvroof run)");
  try {
    s.prediction = predict(s.resolved.setup);
  } catch (const std::invalid_argument& e) {
    throw UserError(in.file + ": " + e.what());
  } catch (const std::domain_error& e) {
    throw UserError(in.file + ": " + e.what());
  }
  return s;
}

std::string signed_time(Seconds s) {
  return s == Seconds{} ? "0"
                        : (s < Seconds{} ? "-" : "+") + reports::text(s < Seconds{} ? -1.0 * s : s);
}

std::string ratio(double a, double b) { return a > 0 ? fmt::format("{:.2f}x", b / a) : "–"; }

std::string bytes_of(const plan::OpSide& s) {
  const double gb = s.moved.total().value / giga;
  return gb > 0 ? reports::number(gb) + " GB" : "–";
}

/// What changed among the bytes of an op: "kv 2.15 -> 1.07 GB".
std::string which_bytes(const OpDelta& d) {
  std::string out;
  const auto part = [&](const char* what, Bytes a, Bytes b) {
    if (std::abs(a.value - b.value) <= 1e-3 * std::max(a.value, b.value)) return;
    out += fmt::format("{}{} {} -> {} GB", out.empty() ? "" : ", ", what,
                       reports::number(a.value / giga), reports::number(b.value / giga));
  };
  part("weights", d.a.moved.weights, d.b.moved.weights);
  part("kv", d.a.moved.kv, d.b.moved.kv);
  part("activations", d.a.moved.activations, d.b.moved.activations);
  return out.empty() ? bytes_of(d.a) : out;
}

reports::Grid summary(const Side& a, const Side& b) {
  reports::Grid g("l");
  g.row({"", "A", "B", "B / A"});
  const Prediction &p = a.prediction, &q = b.prediction;
  const auto both = p.memory.fits && q.memory.fits;
  g.row({"fits", p.memory.fits ? "yes" : "no", q.memory.fits ? "yes" : "no", ""});
  const auto seconds = [&](const char* what, Seconds x, Seconds y) {
    g.row({what, reports::text(x), reports::text(y), ratio(x.value, y.value)});
  };
  seconds("TTFT, idle GPUs", p.ttft, q.ttft);
  seconds("decode step", p.decode.step.expected, q.decode.step.expected);
  seconds("  speed of light", p.decode.step.floor, q.decode.step.floor);
  const auto plain = [&](const char* what, double x, double y, int digits) {
    g.row({what, reports::number(x, digits), reports::number(y, digits), ratio(x, y)});
  };
  if (both) {
    seconds("TPOT", p.tpot, q.tpot);
    plain("output tok/s", p.output_rate.value, q.output_rate.value, 4);
    plain("output tok/s/GPU", p.output_rate.value / p.gpus, q.output_rate.value / q.gpus, 4);
    plain("$ per million output tokens", p.usd_per_million_output_tokens,
          q.usd_per_million_output_tokens, 3);
  }
  plain("KV pool, tokens", p.memory.pool_tokens.value, q.memory.pool_tokens.value, 4);
  return g;
}

reports::Grid ops_table(const std::vector<OpDelta>& deltas, Seconds least) {
  reports::Grid g("lrrrll");
  g.row({"op", "A", "B", "B - A", "HBM bytes", "mostly"});
  Seconds rest;
  int others = 0;
  for (const OpDelta& d : deltas) {
    if (Seconds{std::abs(d.change().value)} < least) {
      rest += d.change(), ++others;
      continue;
    }
    g.row({std::string(d.name), reports::text(d.a.expected), reports::text(d.b.expected),
           signed_time(d.change()), which_bytes(d), std::string(plan::main_reason(d.why))});
  }
  if (others > 0) g.row({fmt::format("{} others", others), "", "", signed_time(rest), "", ""});
  return g;
}

/// The whole step's change, reason by reason.
plan::Reasons together(const std::vector<OpDelta>& deltas) {
  plan::Reasons sum;
  for (const OpDelta& d : deltas)
    sum.work += d.why.work, sum.rate += d.why.rate, sum.gap += d.why.gap;
  return sum;
}

Json reasons_json(const plan::Reasons& r) {
  return {{"work_s", r.work.value},
          {"datasheet_rate_s", r.rate.value},
          {"achieved_hbm_rate_s", r.gap.bandwidth.value},
          {"achieved_compute_rate_s", r.gap.compute.value},
          {"traffic_s", r.gap.traffic.value},
          {"padding_s", r.gap.padding.value},
          {"pipes_s", r.gap.pipes.value},
          {"ramp_s", r.gap.ramp.value},
          {"launch_s", r.gap.launch.value},
          {"link_s", r.gap.link.value}};
}

Json side_json(const plan::OpSide& s) {
  return {{"expected_s", s.expected.value}, {"floor_s", s.floor.value},
          {"flops", s.flops.value},         {"hbm_weights", s.moved.weights.value},
          {"hbm_kv", s.moved.kv.value},     {"hbm_activations", s.moved.activations.value}};
}

std::string sentence(const plan::Reasons& r) {
  std::string out;
  const auto part = [&](std::string_view what, Seconds s) {
    if (std::abs(s.value) > 0.01 * std::abs(r.total().value) && s != Seconds{})
      out += fmt::format("{}{} {}", out.empty() ? "" : ", ", what, signed_time(s));
  };
  part("work", r.work), part("datasheet rate", r.rate);
  for (const GapPart& p : gap_parts(r.gap)) part(p.words, p.time);
  return out.empty() ? "nothing" : out;
}

int compare_scenarios(const Side& a, const Side& b, const std::string& format) {
  struct Phase {
    const char *key, *words;
    std::vector<OpDelta> deltas;
    Seconds from, to;
  };
  const Phase phases[] = {
      {"decode", "decode step", plan::op_deltas(a.prediction.decode, b.prediction.decode),
       a.prediction.decode.step.expected, b.prediction.decode.step.expected},
      {"prefill", "prefill", plan::op_deltas(a.prediction.prefill, b.prediction.prefill),
       a.prediction.prefill.step.expected, b.prediction.prefill.step.expected}};
  if (format == "json") {
    Json results;
    for (const auto& [key, s] : {std::pair{"a", &a}, {"b", &b}})
      results[key] = {{"title", s->title()},
                      {"fits", s->prediction.memory.fits},
                      {"ttft_s", s->prediction.ttft.value},
                      {"tpot_s", s->prediction.tpot.value},
                      {"output_tok_s", s->prediction.output_rate.value}};
    for (const Phase& p : phases) {
      Json ops = Json::array();
      for (const OpDelta& d : p.deltas)
        ops.push_back({{"name", std::string(d.name)},
                       {"change_s", d.change().value},
                       {"a", side_json(d.a)},
                       {"b", side_json(d.b)},
                       {"why", reasons_json(d.why)},
                       {"mostly", std::string(plan::main_reason(d.why))}});
      results[p.key] = {{"a_s", p.from.value},
                        {"b_s", p.to.value},
                        {"why", reasons_json(together(p.deltas))},
                        {"ops", ops}};
    }
    const Json j{{"schema", "kvroof/result/v1"},
                 {"inputs",
                  {{"a", Json::parse(to_json(resolved_inputs(a.resolved.scenario)))},
                   {"b", Json::parse(to_json(resolved_inputs(b.resolved.scenario)))}}},
                 {"results", results},
                 {"warnings", Json::array()}};
    std::cout << j.dump(2) << '\n';
    return kOk;
  }
  if (format == "csv" || format == "md") {
    const reports::Grid g = ops_table(phases[0].deltas, Seconds{});
    format == "csv" ? g.print_csv(std::cout) : g.print_markdown(std::cout);
    return kOk;
  }
  std::cout << "A  " << a.title() << "\nB  " << b.title() << "\n\n";
  summary(a, b).print(std::cout, "  ");
  for (const Phase& p : phases) {
    std::cout << fmt::format("\n{}  {} -> {}: {}\n", p.words, reports::text(p.from),
                             reports::text(p.to), sentence(together(p.deltas)));
    ops_table(p.deltas, 0.005 * max(p.from, p.to)).print(std::cout, "  ");
  }
  return kOk;
}

struct Options {
  std::string other, format = "table";
  std::vector<std::string> with;
  double tolerance = .2;
};

int compare(const Inputs& in, const Options& o) {
  if (o.other.empty() && o.with.empty())
    throw UserError(
        "kvroof compare: expected a second scenario, a benchmark's result file, or --with "
        "key=value");
  const bool json = std::filesystem::path(o.other).extension() == ".json";
  if (json && !o.with.empty())
    throw UserError("--with: changes the second scenario, but " + o.other + " is a result file");
  if (json) return compare_with_benchmark(in, o.other, o.tolerance, o.format);
  Inputs second = in;
  if (!o.other.empty()) second.file = o.other;
  second.set.insert(second.set.end(), o.with.begin(), o.with.end());
  return compare_scenarios(side(in), side(second), o.format);
}

}  // namespace

void add_compare(CLI::App& app, int& exit_code) {
  CLI::App* verb = app.add_subcommand(
      "compare", "two scenarios: which op, which bytes; or a prediction and a benchmark's file");
  auto in = add_inputs(*verb);
  auto o = std::make_shared<Options>();
  verb->add_option("other", o->other,
                   "a scenario, or the .json of vllm bench serve --save-result or AIPerf");
  verb->add_option("--with", o->with, "key=value that only the second scenario gets")->take_all();
  verb->add_option("--tolerance", o->tolerance, "result file: relative error that is accepted")
      ->check(CLI::Range(0., 100.));
  verb->add_option("--format", o->format, "table | json | csv | md")
      ->check(CLI::IsMember({"table", "json", "csv", "md"}));
  verb->callback([in, o, &exit_code] { exit_code = compare(*in, *o); });
}

}  // namespace kvroof::cli
