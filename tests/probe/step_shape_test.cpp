// What kvroof-probe step makes of a network; sizes by hand from the published configs.
#include "cupti_probe/step_shape.hpp"

#include <doctest/doctest.h>

#include "model/search_path.hpp"
#include "model/user_error.hpp"

using namespace kvroof;
using namespace kvroof::probe;

TEST_CASE("a step of Llama-3.1-8B takes its shape and its memory") {
  const StepShape x = step_shape(load_llm("llama-3.1-8b").shape, {});
  CHECK(x.layers == 32);
  CHECK(x.args.at("h_q") == 32);
  CHECK(x.args.at("h_kv") == 8);
  CHECK(x.args.at("d") == 128);
  CHECK(x.args.at("d_ff") == 14336);
  CHECK(x.args.at("vocab") == 128256);
  // q, o: 2·4096²   k, v: 2·1024·4096   MLP: 3·14336·4096: 218'103'808 weights of 2 bytes;
  // cache: 32 requests · 8192 tokens · (1024 + 1024) · 2 bytes = 1 GiB
  CHECK(x.layer_bytes == 2 * 218'103'808.0 + 1'073'741'824.0);
  // lm_head and logits: (4096 + 32)·128256·2 bytes; turns of RoPE: 8192·128·4; of each of 32 tokens
  // 6·4096 (x, y, two sums, projected, down) + 96·128 + 24·128 (qkv, q, attended, k) + 4·14336
  CHECK(x.other_bytes == 4128.0 * 128'256 * 2 + 8192.0 * 128 * 4 + 32 * 97'280.0 * 2);
  CHECK(step_shape(load_llm("llama-3.1-8b").shape, {.layers = 4}).layers == 4);
}

TEST_CASE("a step refuses what it has no kernels for, by name") {
  const auto refused = [](const char* llm, int context) -> std::string {
    try {
      step_shape(load_llm(llm).shape, {.batch = 1, .context = context});
    } catch (const UserError& e) {
      return e.what();
    }
    return "";
  };
  CHECK(refused("deepseek-v3", 1024).find("latent attention") != std::string::npos);
  CHECK(refused("mixtral-8x7b", 1024).find("experts") != std::string::npos);
  CHECK(refused("opt-13b", 1024).find("without a gate") != std::string::npos);
  CHECK(refused("mistral-7b-v0.1", 8192).find("window of 4096") != std::string::npos);
  CHECK(refused("mistral-7b-v0.1", 4096).empty());
}

TEST_CASE("a step says what it leaves out") {
  const StepShape x = step_shape(load_llm("qwen3-8b").shape, {});
  CHECK(x.left_out.front() == "the norms of Q and K");
}
