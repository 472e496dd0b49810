// Scenarios: the draft of the documentation reads, --set changes any key, extends is one level.
#include "model/scenario.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "model/user_error.hpp"
#include "model/yaml.hpp"

using namespace kvroof;

namespace {

constexpr const char* kChat = R"(schema: kvroof/scenario/v1
name: chat
model: meta-llama/Llama-3.1-8B
hardware: h100-sxm-80gb
engine: vllm
serving: {tensor_parallel_size: 2, dtype: bfloat16, kv_cache_dtype: fp8, max_num_seqs: 32}
workload:
  input_len: {p50: 1000, p95: 4000}
  output_len: 256
  max_concurrency: 32
slo: {preset: mlperf-llama3.1-8b-interactive}
cost: {gpu_hour_usd: 2.50}
sweep:
  serving.tensor_parallel_size: [1, 2, 4]
  workload.max_concurrency: {pow2: [1, 16]}
)";

Scenario read(const std::string& text, const std::vector<Override>& overrides = {}) {
  return scenario_from_node(parse_yaml(text, "s.yaml"), "", overrides);
}

}  // namespace

TEST_CASE("every block of a scenario arrives in its struct") {
  const Scenario s = read(kChat);
  CHECK(s.policy.parallel.tensor == 2);
  CHECK(s.policy.kv == Dtype::fp8);
  CHECK(s.policy.engine == "vllm");
  CHECK(s.workload.output_len.mean == 256);
  CHECK(s.workload.input_len.distribution == LengthKind::lognormal);
  // sigma = ln 4 / 1.6449 = 0.84281; mean = 1000 exp(sigma^2 / 2) = 1426.4
  CHECK(s.workload.input_len.mean_tokens() == doctest::Approx(1426.4).epsilon(1e-4));
  CHECK(s.slo.ttft_ms.p99 == 500);
  CHECK(s.slo.tpot_ms.p99 == 30);
  CHECK(s.cost.gpu_hour_usd == 2.5);
  CHECK(s.sweep.axes.size() == 2);
  CHECK(s.sweep.axes[1].values.size() == 5);
  CHECK(s.was_given("serving.max_num_seqs"));
  CHECK_FALSE(s.was_given("serving.block_size"));
}

TEST_CASE("--set overrides any key and creates the blocks on the way") {
  const Scenario s = read(kChat, {{"serving.max_num_seqs", "64", "--set"},
                                  {"workload.input_len", "{mean: 500}", "--set"},
                                  {"speculative", "{method: eagle, acceptance: 0.8}", "--set"}});
  CHECK(s.policy.max_num_seqs == 64);
  CHECK(s.workload.input_len.mean == 500);
  CHECK(s.speculative->method == DraftMethod::eagle);
  CHECK_THROWS_WITH_AS(
      read(kChat, {{"serving.max_num_seq", "64", "--set"}}),
      doctest::Contains("unknown key 'serving.max_num_seq', did you mean 'max_num_seqs'?"),
      UserError);
}

TEST_CASE("the defaults are those of the engine") {
  CHECK(read(kChat).policy.gpu_memory_utilization == 0.92);
  CHECK(read(kChat, {{"engine", "trtllm", ""}}).policy.kv_cache_free_gpu_memory_fraction == 0.90);
  CHECK(read(kChat, {{"engine", "sglang", ""}}).policy.mem_fraction_static == 0.88);
}

TEST_CASE("a scenario can come from the command line alone") {
  const Scenario s = scenario_from_overrides({{"model", "llama-3.1-70b", "--model"},
                                              {"hardware", "h100-sxm-80gb", "--hardware"},
                                              {"serving.tensor_parallel_size", "8", ""},
                                              {"workload.batch", "16", "--batch"},
                                              {"workload.context", "4096", "--context"}});
  CHECK(s.policy.parallel.gpus() == 8);
  CHECK(s.workload.batch == 16);
}

TEST_CASE("extends: the file's own values win, blocks merge key by key, lists are replaced") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / fmt::format("kvroof-extends-{}", ::getpid());
  fs::create_directories(folder);
  std::ofstream(folder / "base.yaml") << kChat;
  std::ofstream(folder / "mine.yaml") << R"(extends: base.yaml
name: mine
serving: {tensor_parallel_size: 4}
sweep: {workload.max_concurrency: [7]}
)";
  const Scenario s = load_scenario((folder / "mine.yaml").string());
  CHECK(s.name == "mine");
  CHECK(s.model == "meta-llama/Llama-3.1-8B");
  CHECK(s.policy.parallel.tensor == 4);
  CHECK(s.policy.max_num_seqs == 32);  // of the base
  CHECK(s.sweep.axes.size() == 2);
  CHECK(s.sweep.axes[0].values.size() == 1);
  fs::remove_all(folder);
}

TEST_CASE("a kernel block is one attention call with its shape and options") {
  const Scenario s = read(R"(schema: kvroof/scenario/v1
hardware: a100-sxm-40gb
kernel: {variant: naive, b: 1, h_q: 16, h_kv: 16, s_q: 2048, s_kv: 2048, d_qk: 64, d_v: 64}
kernels:
  - {variant: paged_decode, b: 8, h_q: 32, h_kv: 8, s_kv: 4096, kv_dtype: fp8, block_size: 32}
)");
  const std::vector<KernelCall> calls = s.kernel_calls();
  REQUIRE(calls.size() == 2);
  CHECK(calls[0].variant == "naive");
  CHECK(calls[0].shape.s_q == 2048);
  CHECK(calls[0].formats().kv == Dtype::bf16);
  CHECK(calls[1].options.block_size == 32);
  CHECK(calls[1].formats().kv == Dtype::fp8);
  CHECK(calls[1].formats().act == Dtype::bf16);
}
