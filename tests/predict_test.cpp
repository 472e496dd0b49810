// Whole-step floors against hand arithmetic, and the laws of the time model.
#include "model/predict.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "model/llm_counts.hpp"
#include "model/ops.hpp"
#include "model/search_path.hpp"
#include "tests/machines.hpp"

using namespace kvroof;
using doctest::Approx;

namespace {

Setup llama70b(double batch, double context, int tp = 8) {
  Setup s{.llm = load_llm("llama-3.1-70b").shape,
          .machine = test::h100(),
          .engine = *find_engine("vllm")};
  s.policy.parallel.tensor = tp;
  s.point = {.batch = batch, .prompt = context, .output = 1, .context = context, .lock_step = true};
  return s;
}

}  // namespace

TEST_CASE("Llama-3.1-70B BF16 on 8 x H100: decode and prefill floors") {
  // Decode: (139.0 GB of weights + b·s·327,680 B)/8/3.35 TB/s.
  // Prefill: (2·68.45e9·b·s + 2·80·64·128·s²·b + lm_head rows)/8/989.4 TFLOP/s, causal.
  // 139.0 GB = (70,553,706,496 - 128,256·8,192)·2 B.
  struct Row {
    double batch, context, decode_ms, prefill_s;
  };
  const Row rows[] = {{16, 4096, 5.99, 1.178}, {16, 32768, 11.60, 11.91}, {64, 4096, 8.39, 4.71}};
  for (const Row& r : rows) {
    const Setup s = llama70b(r.batch, r.context);
    const Prediction p = predict(s);
    CAPTURE(r.batch);
    CAPTURE(r.context);
    CHECK(p.decode.step.floor.value * 1e3 == Approx(r.decode_ms).epsilon(0.01));
    CHECK(p.prefill.step.floor.value == Approx(r.prefill_s).epsilon(0.01));
    CHECK(p.memory.fits);
    CHECK(p.memory.kv_per_token.value == 327680);
  }
}

TEST_CASE("64 requests of 32K do not fit: refused with the reason and what would fit") {
  const Prediction p = predict(llama70b(64, 32768));
  CHECK_FALSE(p.memory.fits);
  CHECK(p.memory.blocks_needed == 64 * 2048);
  CHECK(p.memory.reason.find("131072 blocks") != std::string::npos);
  REQUIRE_FALSE(p.memory.would_fit.empty());
  // 64·32768·40,960 B = 85.9 GB of KV per GPU against 85.5 GB of memory; FP8 halves it to 42.9.
  CHECK(64 * p.memory.kv_per_request.value == Approx(85.9e9).epsilon(1e-3));
  const auto& w = p.memory.would_fit;
  CHECK(std::find(w.begin(), w.end(), std::string("kv_cache_dtype fp8")) != w.end());
}

TEST_CASE("weights read by a step: all parameters but the gathered embedding, each once") {
  for (const char* id : {"llama-3.1-8b", "llama-3.1-70b", "qwen3-8b", "qwen2.5-7b"}) {
    const LlmShape llm = load_llm(id).shape;
    const Policy policy;
    const Lowering l = lower(llm, policy, test::h100());
    Work sum;
    for (const Op& op : ops(l, policy, {{.requests = 1, .s_q = 1, .cached = 127}}))
      if (op.name != "embedding") sum += op.count * op.work;
    const double embedding = 1.0 * llm.vocab * llm.d_model;
    CAPTURE(id);
    CHECK(sum.read.weights.value == 2 * (static_cast<double>(total_params(llm)) - embedding));
  }
}

TEST_CASE("whole-step FLOPs: 2 · parameters · tokens + attention") {
  const LlmShape llm = load_llm("llama-3.1-8b").shape;
  const Policy policy;
  const Lowering l = lower(llm, policy, test::h100());
  const double s = 1000;
  const Work w = total_work(ops(l, policy, {{.requests = 1, .s_q = 1, .cached = s - 1}}));
  // lm_head in full, SwiGLU with three matrices; norms are not matmuls.
  const double norms = (2.0 * 32 + 1) * 4096;
  const double matmul = static_cast<double>(total_params(llm)) - 128256.0 * 4096 - norms;
  CHECK(w.flops.value == Approx(2 * matmul + 4.0 * s * 32 * 128 * 32).epsilon(1e-9));
}

TEST_CASE(
    "laws: the sum of ops is the step, nothing is under its floor, one GPU does not communicate") {
  const Setup s = llama70b(16, 4096);
  const Prediction p = predict(s);
  Seconds expected, floor;
  for (const OpTime& t : p.decode.times) {
    CHECK(t.expected >= t.floor);
    expected += t.expected, floor += t.floor;
    CHECK((t.gap.total() + t.floor).value == Approx(t.expected.value).epsilon(1e-9));
  }
  CHECK(expected.value == Approx(p.decode.step.expected.value).epsilon(1e-12));
  CHECK(floor.value == Approx(p.decode.step.floor.value).epsilon(1e-12));
  CHECK((p.decode.step.floor + p.decode.step.gap.total()).value ==
        Approx(p.decode.step.expected.value).epsilon(1e-9));

  Setup one{.llm = load_llm("llama-3.1-8b").shape,
            .machine = test::h100(),
            .engine = *find_engine("vllm")};
  one.point = {.batch = 4, .prompt = 1024, .output = 128};
  const Prediction q = predict(one);
  CHECK(q.decode.step.link_expected == Seconds{});
  CHECK(q.decode.work.link_sent == Bytes{});
}

TEST_CASE("laws: time grows with batch and context, KV bytes are linear in both") {
  double last = 0, kv = 0;
  for (double batch : {1, 2, 4, 8, 16, 32, 64}) {
    const Prediction p = predict(llama70b(batch, 4096));
    CHECK(p.decode.step.expected.value >= last);
    CHECK(p.decode.step.floor.value > 0);
    if (kv > 0) CHECK(p.decode.work.read.kv.value == Approx(2 * kv));
    last = p.decode.step.expected.value, kv = p.decode.work.read.kv.value;
  }
  last = 0;
  for (double context : {512, 1024, 4096, 16384, 32768}) {
    const Prediction p = predict(llama70b(16, context));
    CHECK(p.decode.step.expected.value >= last);
    CHECK(p.prefill.step.expected > p.prefill.step.floor);
    last = p.decode.step.expected.value;
  }
}

TEST_CASE("a closed loop, by hand: 32 prompts of 40 ms, steps of 8 ms, no host time") {
  // A client's round: all 32 prompts and its own output − 1 steps pass the GPU.
  const auto round = [](const ServiceTerms& terms, double output) {
    return service_times<double>(terms, 32, output, .008, .040, .040);
  };
  CHECK(round({}, 1).e2e == Approx(32 * .040));  // prompts only: 25 a second, not 800
  CHECK(round({}, 1).request_rate == Approx(25));
  CHECK(round({}, 101).e2e == Approx(32 * .040 + 100 * .008));
  CHECK(round({}, 101).tpot == Approx(.008 + 31. / 101 * .040));
  // Four stages work on four prompts at once; the first prompt still passes all of them.
  CHECK(round({.stages = 4}, 101).e2e == Approx(.040 + 31 * .010 + 100 * .008));
  CHECK(round({.data = 4}, 101).e2e == Approx(8 * .040 + 100 * .008));
}

TEST_CASE("sharding: heads that do not divide are refused, K/V heads replicate past h_kv") {
  Setup s = llama70b(1, 1024, 3);
  CHECK_THROWS_WITH(predict(s),
                    "num_attention_heads 64 is not divisible by tensor_parallel_size 3");
  // 16 ranks, 8 K/V heads: each rank still holds one head, so a GPU's cache does not shrink past
  // TP 8.
  s.policy.parallel.tensor = 16;
  const Bytes at16 = kv_bytes_per_gpu(s.llm, s.policy, 1024);
  s.policy.parallel.tensor = 8;
  CHECK(kv_bytes_per_gpu(s.llm, s.policy, 1024) == at16);
}
