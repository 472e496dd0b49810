// Result files of serving benchmarks, in the words of this project.
#pragma once
#include <optional>
#include <string>

namespace kvroof::plan {

/// Seconds; what the file does not hold is absent.
struct MeasuredLatency {
  std::optional<double> mean, p50, p90, p95, p99;
};

/// One run. Names differ between tools: AIPerf's inter_token_latency is everybody else's TPOT and
/// its inter_chunk_latency is vLLM's ITL.
struct BenchmarkFile {
  std::string tool;  // "vllm bench serve" or "AIPerf"
  std::string model;
  MeasuredLatency ttft, tpot, itl, e2e;
  std::optional<double> request_rate_done, output_rate, total_rate, duration;
  // What was asked.
  std::optional<double> requests, input_tokens, output_tokens;  // tokens of a request, mean
  std::optional<double> concurrency, request_rate, burstiness;
};

/// `vllm bench serve --save-result` (SGLang's bench_serving writes the same keys), or AIPerf's and
/// genai-perf's profile export. UserError for anything else, a run without a completed request, or
/// a figure that is no finite number > 0.
///   vLLM: docs.vllm.ai, vllm/benchmarks/serve.py
///   AIPerf: docs.nvidia.com/aiperf, JSON export schema
BenchmarkFile read_benchmark(const std::string& text, const std::string& name);

}  // namespace kvroof::plan
