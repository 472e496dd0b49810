// Every bundled scenario loads and answers; those that were written to show a number show it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "model/attention/variant.hpp"
#include "model/predict.hpp"
#include "model/profile.hpp"
#include "model/scenario.hpp"
#include "model/search_path.hpp"

using namespace kvroof;
using doctest::Approx;
namespace fs = std::filesystem;

namespace {

const fs::path kScenarios = fs::path(KVROOF_SOURCE_DIR) / "scenarios";

std::vector<fs::path> files() {
  std::vector<fs::path> out;
  for (const char* folder : {".", "attention", "policies"})
    for (const auto& entry : fs::directory_iterator(kScenarios / folder))
      if (entry.path().extension() == ".yaml") out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

Scenario scenario(const std::string& name, const std::vector<Override>& set = {}) {
  return load_scenario((kScenarios / (name + ".yaml")).string(), set);
}

Machine machine(const Scenario& s) {
  return to_machine(load_profile(find_profile(s.hardware, search_roots(), s.folder)));
}

Prediction answer(const Scenario& s) {
  Setup setup{.llm = load_llm(s.model, search_roots(), {}, s.folder).shape,
              .policy = s.policy,
              .machine = machine(s),
              .engine = *find_engine(s.engine)};
  const Workload& w = s.workload;
  if (w.batch)
    setup.point = {
        .batch = *w.batch, .prompt = *w.context, .context = *w.context, .lock_step = true};
  else
    setup.point = {.batch = w.max_concurrency.value_or(8),
                   .prompt = w.input_len.mean_tokens(),
                   .output = w.output_len.mean_tokens(),
                   .prefix_hit = w.prefix_hit_rate};
  return predict(setup);
}

Work work(const KernelCall& k, const Machine& m) {
  return attention::find_variant(k.variant)
      ->cost(k.shape, k.formats(), {m.num_sms, m.l2_effective}, k.options)
      .work;
}

/// Work of the kernels of a scenario, in the order of the file.
std::vector<Work> works(const std::string& name) {
  const Scenario s = scenario(name);
  std::vector<Work> out;
  for (const KernelCall& k : s.kernel_calls()) out.push_back(work(k, machine(s)));
  return out;
}

const Override kFp8Cache{"serving.kv_cache_dtype", "fp8", "--set"};

}  // namespace

TEST_CASE("every scenario answers; only the ones written to be refused do not fit") {
  const std::vector<std::string> refused = {"llama31-70b-8xh100-128k", "llama31-70b-8xh100-500k"};
  int networks = 0, kernels = 0;
  for (const fs::path& file : files()) {
    CAPTURE(file.string());
    const Scenario s = load_scenario(file.string());
    CHECK(s.name == file.stem().string());
    for (const KernelCall& k : s.kernel_calls()) {
      const Work w = work(k, machine(s));
      CHECK(w.hbm().value > 0);
      CHECK(std::isfinite(w.flops.value));
      ++kernels;
    }
    if (!s.kernel_calls().empty()) continue;
    const Prediction p = answer(s);
    ++networks;
    const bool expected = std::find(refused.begin(), refused.end(), s.name) == refused.end();
    CAPTURE(p.memory.reason);
    CHECK(p.memory.fits == expected);
    CHECK(p.ttft.value > 0);
    CHECK(p.decode.step.floor.value > 0);
    CHECK(p.decode.step.expected >= p.decode.step.floor);
    CHECK(p.prefill.step.expected >= p.prefill.step.floor);
  }
  CHECK(networks >= 35);
  CHECK(kernels >= 18);
}

TEST_CASE("every scenario opens with its question and what to try next, in 25 lines at most") {
  for (const fs::path& file : files()) {
    CAPTURE(file.string());
    std::ifstream in(file);
    int lines = 0;
    bool question = false, next = false;
    for (std::string line; std::getline(in, line); ++lines) {
      question = question || (lines == 1 && line.rfind("# ", 0) == 0);
      next = next || line.rfind("# Next: ", 0) == 0;
    }
    CHECK(question);
    CHECK(next);
    CHECK(lines <= 25);
  }
}

TEST_CASE("the resolved inputs of every scenario are JSON: words of a sweep are quoted") {
  const std::string inputs = to_json(resolved_inputs(scenario("h100-vs-h200")));
  CHECK(inputs.find("\"h200-sxm-141gb\"") != std::string::npos);
  CHECK(to_json(resolved_inputs(scenario("llama31-8b-chat"))).find("64") != std::string::npos);
}

TEST_CASE("each attention variant has a scenario of its name") {
  for (const attention::Variant& v : attention::variants()) {
    CAPTURE(v.name);
    const Scenario s = scenario("attention/" + std::string(v.name));
    REQUIRE(s.kernel);
    CHECK(s.kernel->variant == v.name);
  }
}

TEST_CASE("70B on 8xH100, 16 requests: 32K fits, 128K needs an FP8 cache, 500K never fits") {
  // 8·85.5 GB hold 141 GB of weights; 171.8, 687.2 and 2,621 GB of BF16 cache, half of it in FP8.
  CHECK(answer(scenario("llama31-70b-8xh100-32k")).memory.fits);
  CHECK_FALSE(answer(scenario("llama31-70b-8xh100-128k")).memory.fits);
  CHECK(answer(scenario("llama31-70b-8xh100-128k", {kFp8Cache})).memory.fits);
  CHECK_FALSE(answer(scenario("llama31-70b-8xh100-500k", {kFp8Cache})).memory.fits);
  const Prediction p = answer(scenario("llama31-70b-8xh100-32k"));
  CHECK(p.decode.step.floor.value == Approx(11.60e-3).epsilon(0.01));
}

TEST_CASE("caches: 8 of 32 heads 4x, a latent 57x and 3.6x, FP8 2x, INT8 1.94x, NVFP4 3.56x") {
  const std::vector<Work> gqa = works("gqa8-vs-mha32");
  CHECK(gqa[0].read.kv / gqa[1].read.kv == Approx(4));
  const std::vector<Work> mla = works("mla-vs-mha");
  CHECK(mla[0].read.kv / mla[2].read.kv == Approx(32768. / 576));
  CHECK(mla[1].read.kv / mla[2].read.kv == Approx(2048. / 576));
  const Override bf16{"serving.kv_cache_dtype", "bf16", "--set"};
  for (const auto& [name, ratio] :
       {std::pair{"kv-fp8", 2.0}, {"kv-int8", 16 / 8.25}, {"kv-nvfp4", 16 / 4.5}}) {
    CAPTURE(name);
    const Prediction small = answer(scenario(name)), full = answer(scenario(name, {bf16}));
    CHECK(full.memory.kv_per_token.value == 131072);  // 32·8·2·128·2
    CHECK(full.memory.kv_per_token / small.memory.kv_per_token == Approx(ratio));
    CHECK(small.decode.step.expected < full.decode.step.expected);
  }
}

TEST_CASE("naive attention at N = 2048 moves the scores four times, Flash none of them") {
  const std::vector<Work> w = works("a100-naive-vs-flash-n2048");
  // 128 heads, fp16: 4·N² elements of scores beside 4·N·64 of Q, K, V and O.
  CHECK(w[0].hbm().value == Approx(128 * 2 * (4. * 2048 * 2048 + 4 * 2048 * 64)));
  // Flash 2: Q, K, V, O once and 4 B of statistics a row.
  CHECK(w[2].hbm().value == Approx(128 * (2 * 4. * 2048 * 64 + 4 * 2048)));
  CHECK(w[1].hbm() > w[2].hbm());
}

TEST_CASE("policies change what they are about") {
  const Prediction graphs = answer(scenario("policies/cuda-graphs-on"));
  const Prediction eager = answer(scenario("policies/cuda-graphs-off"));
  CHECK(eager.decode.step.expected >= graphs.decode.step.expected);
  CHECK(eager.memory.pool - graphs.memory.pool == graphs.memory.graphs);
  const Override bf16{"serving.quantization", "auto", "--set"};
  for (const char* name : {"weights-fp8", "weights-int4", "weights-nvfp4", "weights-mxfp4"}) {
    CAPTURE(name);
    const Scenario s = scenario(std::string("policies/") + name);
    const Prediction full = answer(scenario(std::string("policies/") + name, {bf16}));
    CHECK(answer(s).decode.step.floor < full.decode.step.floor);
    CHECK(answer(s).memory.weights < full.memory.weights);
  }
  const Override cold{"workload.prefix_hit_rate", "0", "--set"};
  const Seconds warm = answer(scenario("policies/prefix-caching")).prefill.step.floor;
  CHECK(warm < 0.3 * answer(scenario("policies/prefix-caching", {cold})).prefill.step.floor);
  CHECK(answer(scenario("retrieval-8k")).ttft < answer(scenario("long-context")).ttft);
  const Override h200{"hardware", "h200-sxm-141gb", "--set"};
  const Prediction a = answer(scenario("h100-vs-h200")),
                   b = answer(scenario("h100-vs-h200", {h200}));
  CHECK(a.decode.step.floor / b.decode.step.floor == Approx(4.8 / 3.35).epsilon(1e-3));
}
