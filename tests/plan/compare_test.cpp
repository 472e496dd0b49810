// Differences of two predictions add up; result files are read in their own words.
#include <doctest/doctest.h>

#include "model/hf_config.hpp"
#include "model/plan/benchmark_file.hpp"
#include "model/plan/op_deltas.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "model/user_error.hpp"

using namespace kvroof;
using namespace kvroof::plan;
using doctest::Approx;

namespace {

Prediction on(const char* gpu, int tensor, Dtype kv) {
  Setup s;
  s.llm = load_llm("llama-3.1-70b").shape;
  s.machine = to_machine(load_profile(find_profile(gpu, search_roots())));
  s.engine = *find_engine("vllm");
  s.point = {.batch = 16, .prompt = 4096, .output = 256};
  s.policy.parallel.tensor = tensor, s.policy.kv = kv;
  return predict(s);
}

const OpDelta& named(const std::vector<OpDelta>& list, std::string_view name) {
  for (const OpDelta& d : list)
    if (d.name == name) return d;
  FAIL("no such op");
  return list.front();
}

std::string refusal(const std::string& text) {
  try {
    read_benchmark(text, "f.json");
  } catch (const UserError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("differences of ops add up to the difference of the steps, part by part") {
  const Prediction a = on("h100-sxm-80gb", 8, Dtype::bf16), b = on("h200-sxm-141gb", 4, Dtype::fp8);
  for (const auto& [x, y] : {std::pair{&a.decode, &b.decode}, {&a.prefill, &b.prefill}}) {
    Seconds change, parts;
    for (const OpDelta& d : op_deltas(*x, *y)) {
      change += d.change(), parts += d.why.total();
      CHECK(d.why.total().value == Approx(d.change().value).epsilon(1e-6));
    }
    CHECK(change.value == Approx((y->step.expected - x->step.expected).value));
    CHECK(parts.value == Approx(change.value));
  }
}

TEST_CASE("which bytes: half of the cache in FP8; which rate: 4.8 against 3.35 TB/s") {
  const Prediction a = on("h100-sxm-80gb", 8, Dtype::bf16);
  const std::vector<OpDelta> fp8 = op_deltas(a.decode, on("h100-sxm-80gb", 8, Dtype::fp8).decode);
  CHECK(fp8.front().name == "attention");  // nothing else changes as much
  const OpDelta& attention = named(fp8, "attention");
  CHECK(attention.a.moved.kv / attention.b.moved.kv == Approx(2));
  CHECK(attention.why.rate.value == Approx(0).epsilon(1e-12));
  CHECK(named(fp8, "gate_up_proj").change() == Seconds{});
  const std::vector<OpDelta> h200 =
      op_deltas(a.decode, on("h200-sxm-141gb", 8, Dtype::bf16).decode);
  const OpDelta& mlp = named(h200, "gate_up_proj");
  CHECK(mlp.why.work == Seconds{});
  CHECK(mlp.b.floor / mlp.a.floor == Approx(3.35 / 4.8).epsilon(1e-3));
  CHECK(main_reason(mlp.why) == "datasheet rate");
  // TP 4 has no op that TP 8 lacks, TP 1 has no all-reduce.
  const OpDelta& link =
      named(op_deltas(a.decode, on("h100-sxm-80gb", 1, Dtype::bf16).decode), "all_reduce_attn");
  CHECK(link.b.expected == Seconds{});
  CHECK(main_reason(link.why) == "communication");
}

TEST_CASE("vllm bench serve: milliseconds, medians, tokens of a request") {
  const BenchmarkFile b = read_benchmark(R"({"date": "20260101-000000", "endpoint_type": "vllm",
    "model_id": "meta-llama/Llama-3.1-8B", "num_prompts": 200, "request_rate": "inf",
    "burstiness": 1.0, "max_concurrency": 32, "duration": 50.0, "completed": 200,
    "total_input_tokens": 204800, "total_output_tokens": 51200, "request_throughput": 4.0,
    "output_throughput": 1024.0, "total_token_throughput": 5120.0, "mean_ttft_ms": 120.5,
    "median_ttft_ms": 110.0, "std_ttft_ms": 3.0, "p99_ttft_ms": 250.0, "mean_tpot_ms": 14.0,
    "median_tpot_ms": 13.5, "p99_tpot_ms": 16.0, "mean_itl_ms": 14.0, "median_itl_ms": 11.0,
    "p99_itl_ms": 60.0})",
                                         "f.json");
  CHECK(b.tool == "vllm bench serve");
  CHECK(b.model == "meta-llama/Llama-3.1-8B");
  CHECK(*b.ttft.p50 == Approx(.110));
  CHECK(*b.tpot.mean == Approx(.014));
  CHECK(*b.itl.p99 == Approx(.060));
  CHECK_FALSE(b.e2e.mean);
  CHECK(*b.input_tokens == 1024);
  CHECK(*b.output_tokens == 256);
  CHECK(*b.concurrency == 32);
  CHECK_FALSE(b.request_rate);
  CHECK(*b.output_rate == 1024);
}

TEST_CASE("AIPerf: the unit stands beside the figure, inter_token_latency is TPOT") {
  const BenchmarkFile b = read_benchmark(R"({
    "request_throughput": {"unit": "requests/sec", "avg": 4.0},
    "request_latency": {"unit": "ms", "avg": 3500.0, "p50": 3400.0, "p99": 4000.0},
    "time_to_first_token": {"unit": "ms", "avg": 120.5, "p50": 110.0, "p90": 200.0, "p99": 250.0},
    "inter_token_latency": {"unit": "ms", "avg": 14.0, "p50": 13.5},
    "inter_chunk_latency": {"unit": "us", "avg": 14100.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 1024.0},
    "output_sequence_length": {"unit": "tokens", "avg": 256.0},
    "total_isl": {"unit": "tokens", "avg": 204800.0}, "request_count": {"unit": "requests", "avg": 200.0},
    "benchmark_duration": {"unit": "sec", "avg": 50.0}, "goodput": null,
    "input_config": {"endpoint": {"model_names": ["openai/gpt-oss-20b"]}, "loadgen": {"concurrency": 32}}})",
                                         "f.json");
  CHECK(b.tool == "AIPerf");
  CHECK(b.model == "openai/gpt-oss-20b");
  CHECK(*b.tpot.mean == Approx(.014));
  CHECK(*b.itl.mean == Approx(.0141));
  CHECK(*b.e2e.p99 == Approx(4));
  CHECK(*b.input_tokens == 1024);
  CHECK(*b.output_tokens == 256);
  CHECK(*b.concurrency == 32);
  CHECK_FALSE(b.request_rate);
}

TEST_CASE("files that hold no run are refused by name") {
  CHECK(refusal("").find("f.json: expected JSON") == 0);
  CHECK(refusal("[]").find("f.json: expected one JSON object") == 0);
  CHECK(refusal("{}").find("found neither") != std::string::npos);
  CHECK(refusal(R"({"mean_ttft_ms": 1})").find("at least one completed request") !=
        std::string::npos);
  CHECK(refusal(R"({"mean_ttft_ms": 1, "completed": 0})").find("at least one completed request") !=
        std::string::npos);
  CHECK(refusal(R"({"mean_ttft_ms": "fast", "completed": 1})") ==
        "f.json: mean_ttft_ms: expected a number, got \"fast\"");
  CHECK(refusal(R"({"mean_ttft_ms": -1, "completed": 1})").find("a finite number > 0") !=
        std::string::npos);
  CHECK(refusal(R"({"time_to_first_token": 5, "request_count": {"avg": 1}})")
            .find("a metric with unit") != std::string::npos);
  CHECK(
      refusal(R"({"time_to_first_token": {"avg": 5, "unit": "parsec"}})").find("a unit of time") !=
      std::string::npos);
}
