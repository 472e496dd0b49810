// The arrays of a sweep against predict(), point by point.
#include "model/sweep/deployment.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "model/hf_config.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "model/serving/rng.hpp"

using namespace kvroof;
using namespace kvroof::sweep;

namespace {

Machine gpu(const char* id) { return to_machine(load_profile(find_profile(id, search_roots()))); }

bool close(double a, double b) { return std::abs(a - b) <= 1e-9 * std::abs(b); }

/// kLanes random workloads against as many predictions.
void compare(const Setup& setup, serving::Rng& rng) {
  Deployment d(setup);
  Points x;
  for (int i = 0; i < kLanes; ++i) {
    x.batch[i] = std::ceil(std::exp(rng.uniform() * 6));
    x.prompt[i] = std::ceil(std::exp(3 + rng.uniform() * 7));
    x.output[i] = setup.point.lock_step ? 1 : std::ceil(std::exp(rng.uniform() * 7));
    x.context[i] = setup.point.lock_step ? x.prompt[i] : 0;
    x.prefix_hit[i] = rng.uniform() < .5 ? 0 : rng.uniform();
  }
  const Block block = d.evaluate(x);
  for (int i = 0; i < kLanes; ++i) {
    CAPTURE(i);
    Setup s = setup;
    s.point.batch = x.batch[i];
    if (!s.point.lock_step)
      s.point.batch = std::min<double>(x.batch[i], s.policy.max_num_seqs * s.policy.parallel.data);
    s.point.prompt = x.prompt[i], s.point.output = x.output[i];
    s.point.context = x.context[i], s.point.prefix_hit = x.prefix_hit[i];
    const Prediction p = predict(s);
    CHECK(close(block[Column::decode][i], p.decode.step.expected.value));
    CHECK(close(block[Column::decode_floor][i], p.decode.step.floor.value));
    CHECK(close(block[Column::ttft][i], p.ttft.value));
    CHECK(close(block[Column::tpot][i], p.tpot.value));
    CHECK(close(block[Column::e2e][i], p.e2e.value));
    CHECK(close(block[Column::request_rate][i], p.request_rate));
    CHECK(close(block[Column::output_rate][i], p.output_rate.value));
    CHECK(close(block[Column::output_rate_per_gpu][i], p.output_rate.value / p.gpus));
    CHECK(close(block[Column::usd][i], p.usd_per_million_output_tokens));
    CHECK(close(block[Column::rate_per_user][i], 1 / p.tpot.value));
    CHECK(block.fits[i] == p.memory.fits);
    if (p.memory.fits)
      CHECK(close(block[Column::kv_share][i],
                  s.point.batch / s.policy.parallel.data / p.memory.max_concurrency));
  }
}

}  // namespace

TEST_CASE("arrays equal the scalar prediction to 1e-9: networks, GPUs, policies, lock step") {
  struct Row {
    const char *llm, *gpu;
    Policy policy;
    bool lock_step = false;
  };
  Policy tp8, pp2, fp8kv, overlap, experts, eager;
  tp8.parallel.tensor = 8;
  pp2.parallel = {.tensor = 2, .pipeline = 2};
  fp8kv.kv = Dtype::fp8, fp8kv.weights = Dtype::fp8;
  overlap.parallel.tensor = 4, overlap.overlap_communication = true;
  experts.parallel = {.tensor = 1, .data = 8, .expert = true};
  eager.cuda_graphs = false;
  const Row rows[] = {{"llama-3.1-8b", "h100-sxm-80gb", {}},
                      {"llama-3.1-8b", "a100-sxm-80gb", eager},
                      {"llama-3.1-70b", "h200-sxm-141gb", tp8},
                      {"llama-3.1-70b", "h100-sxm-80gb", overlap},
                      {"llama-3.1-70b", "b200-sxm-180gb", pp2},
                      {"llama-3.1-70b", "b200-sxm-180gb", pp2, true},
                      {"llama-3.1-8b", "h200-sxm-141gb", fp8kv, true},
                      {"gemma-3-27b", "h100-sxm-80gb", fp8kv},     // windows
                      {"gpt-oss-120b", "h200-sxm-141gb", {}},      // experts, windows
                      {"deepseek-v3", "h200-sxm-141gb", experts},  // latent attention
                      {"mixtral-8x7b", "h100-sxm-80gb", overlap}};
  serving::Rng rng(7);
  for (const Row& r : rows) {
    CAPTURE(r.llm);
    CAPTURE(r.gpu);
    Setup setup{.llm = load_llm(r.llm).shape,
                .policy = r.policy,
                .machine = gpu(r.gpu),
                .engine = *find_engine("vllm")};
    setup.point.lock_step = r.lock_step;
    compare(setup, rng);
  }
}

TEST_CASE("what cannot be cut or computed throws as predict() does") {
  Setup s{.llm = load_llm("llama-3.1-8b").shape,
          .machine = gpu("h100-sxm-80gb"),
          .engine = *find_engine("vllm")};
  s.policy.parallel.tensor = 3;
  CHECK_THROWS_AS(Deployment{s}, std::invalid_argument);
  // 70B of BF16 leaves no pool on one H100: evaluated, but no point fits.
  s.llm = load_llm("llama-3.1-70b").shape, s.policy.parallel.tensor = 1;
  Points x{.batch = Lanes::Constant(1),
           .prompt = Lanes::Constant(100),
           .output = Lanes::Constant(10),
           .context = Lanes::Zero(),
           .prefix_hit = Lanes::Zero()};
  CHECK_FALSE(Deployment(s).evaluate(x).fits.any());
}
