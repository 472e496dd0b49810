#include "model/plan/benchmark_file.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "model/units.hpp"
#include "model/user_error.hpp"

namespace kvroof::plan {
namespace {

using Json = nlohmann::json;

struct File {
  const Json& root;
  const std::string& name;

  [[noreturn]] void fail(const std::string& key, const std::string& expected,
                         const Json& got) const {
    // Printing a tree would recurse as deep as the file nests.
    const std::string shown =
        got.is_structured() ? got.is_array() ? "a list" : "a mapping" : got.dump().substr(0, 60);
    throw UserError(fmt::format("{}: {}: expected {}, got {}", name, key, expected, shown));
  }

  /// Absent and null are nothing; a zero stands for "not measured" in both formats.
  std::optional<double> number(const Json& at, const std::string& key) const {
    const auto found = at.find(key);
    if (found == at.end() || found->is_null()) return std::nullopt;
    if (!found->is_number()) fail(key, "a number", *found);
    const double v = found->get<double>();
    if (!std::isfinite(v) || v < 0) fail(key, "a finite number > 0", *found);
    return v > 0 ? std::optional(v) : std::nullopt;
  }
  std::optional<double> scaled(const Json& at, const std::string& key, double unit) const {
    const auto v = number(at, key);
    return v ? std::optional(*v * unit) : std::nullopt;
  }
  std::string word(const std::string& key) const {
    const auto found = root.find(key);
    return found != root.end() && found->is_string() ? found->get<std::string>() : "";
  }
};

std::optional<double> ratio(std::optional<double> a, std::optional<double> b) {
  return a && b ? std::optional(*a / *b) : std::nullopt;
}

/// mean_ttft_ms, median_ttft_ms, p99_ttft_ms …
MeasuredLatency flat(const File& f, const std::string& what) {
  const auto ms = [&](const char* statistic) {
    return f.scaled(f.root, fmt::format("{}_{}_ms", statistic, what), milli);
  };
  MeasuredLatency l{ms("mean"), ms("median"), ms("p90"), ms("p95"), ms("p99")};
  if (!l.p50) l.p50 = ms("p50");
  return l;
}

BenchmarkFile vllm(const File& f) {
  BenchmarkFile b{.tool = "vllm bench serve", .model = f.word("model_id")};
  b.ttft = flat(f, "ttft"), b.tpot = flat(f, "tpot"), b.itl = flat(f, "itl");
  b.e2e = flat(f, "e2el");
  if (!b.e2e.mean) b.e2e = flat(f, "e2e_latency");  // SGLang
  b.request_rate_done = f.number(f.root, "request_throughput");
  b.output_rate = f.number(f.root, "output_throughput");
  b.total_rate = f.number(f.root, "total_token_throughput");
  b.duration = f.number(f.root, "duration");
  b.requests = f.number(f.root, "completed");
  b.input_tokens = ratio(f.number(f.root, "total_input_tokens"), b.requests);
  b.output_tokens = ratio(f.number(f.root, "total_output_tokens"), b.requests);
  b.concurrency = f.number(f.root, "max_concurrency");
  // Infinity, the default, is written as a word or as JavaScript's Infinity, which is no JSON.
  if (const auto rate = f.root.find("request_rate"); rate != f.root.end() && rate->is_number())
    b.request_rate = f.number(f.root, "request_rate");
  b.burstiness = f.number(f.root, "burstiness");
  return b;
}

double unit_of(const File& f, const std::string& key, const Json& metric) {
  const std::string unit = metric.value("unit", "");
  if (unit == "ms") return milli;
  if (unit == "s" || unit == "sec") return 1;
  if (unit == "us") return micro;
  if (unit == "ns") return nano;
  f.fail(key + ".unit", "a unit of time", metric.value("unit", Json()));
}

MeasuredLatency nested(const File& f, const std::string& key) {
  const auto metric = f.root.find(key);
  if (metric == f.root.end() || metric->is_null()) return {};
  if (!metric->is_object()) f.fail(key, "a metric with unit and statistics", *metric);
  const double unit = unit_of(f, key, *metric);
  return {f.scaled(*metric, "avg", unit), f.scaled(*metric, "p50", unit),
          f.scaled(*metric, "p90", unit), f.scaled(*metric, "p95", unit),
          f.scaled(*metric, "p99", unit)};
}

std::optional<double> average(const File& f, const std::string& key) {
  const auto metric = f.root.find(key);
  return metric != f.root.end() && metric->is_object() ? f.number(*metric, "avg") : std::nullopt;
}

BenchmarkFile aiperf(const File& f) {
  BenchmarkFile b{.tool = "AIPerf"};
  b.ttft = nested(f, "time_to_first_token"), b.tpot = nested(f, "inter_token_latency");
  b.itl = nested(f, "inter_chunk_latency"), b.e2e = nested(f, "request_latency");
  b.request_rate_done = average(f, "request_throughput");
  b.output_rate = average(f, "output_token_throughput");
  b.total_rate = average(f, "total_token_throughput");
  b.duration = average(f, "benchmark_duration");
  b.requests = average(f, "request_count");
  b.input_tokens = average(f, "input_sequence_length");
  b.output_tokens = average(f, "output_sequence_length");
  if (!b.input_tokens) b.input_tokens = ratio(average(f, "total_isl"), b.requests);
  if (!b.output_tokens) b.output_tokens = ratio(average(f, "total_osl"), b.requests);
  // The configuration is not a stable part of the file: what is not where it was is not known.
  const Json config = f.root.value("input_config", Json::object());
  const Json load = config.is_object() ? config.value("loadgen", Json::object()) : Json::object();
  if (load.is_object()) {
    b.concurrency = f.number(load, "concurrency");
    b.request_rate = f.number(load, "request_rate");
  }
  if (config.is_object() && config.contains("endpoint") && config["endpoint"].is_object()) {
    const Json names = config["endpoint"].value("model_names", Json::array());
    if (names.is_array() && !names.empty() && names[0].is_string()) b.model = names[0];
  }
  return b;
}

}  // namespace

BenchmarkFile read_benchmark(const std::string& text, const std::string& name) {
  Json root;
  try {
    root = Json::parse(text);
  } catch (const Json::exception& e) {
    throw UserError(fmt::format("{}: expected JSON: {}", name, e.what()));
  }
  if (!root.is_object()) throw UserError(name + ": expected one JSON object with a run's results");
  const File f{root, name};
  BenchmarkFile b;
  if (root.contains("time_to_first_token") || root.contains("request_latency")) b = aiperf(f);
  else if (root.contains("mean_ttft_ms") || root.contains("median_ttft_ms")) b = vllm(f);
  else
    throw UserError(
        name +
        ": expected the result of vllm bench serve (mean_ttft_ms, …) or an AIPerf profile "
        "export (time_to_first_token, …), found neither");
  if (!b.requests) throw UserError(name + ": expected at least one completed request, got none");
  return b;
}

}  // namespace kvroof::plan
