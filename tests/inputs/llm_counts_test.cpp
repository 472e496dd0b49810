// Parameters and K/V bytes of 29 public networks. Expected: parameter totals of the published
// checkpoints (safetensors metadata on huggingface.co) where there is one, else the same sums by
// hand from the public config.json; active counts hold embedding and lm_head in full; K/V in BF16,
// no window full.
#include "model/llm_counts.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

#include "model/search_path.hpp"

using namespace kvroof;

namespace {

struct Row {
  const char* id;
  std::int64_t params, active, kv_bytes_per_token;
};

const Row kRows[] = {
    {"deepseek-r1", 671026419200, 37552297472, 70272},
    {"deepseek-v2-lite", 15706484224, 2661150208, 31104},
    {"deepseek-v2", 235741434880, 21375800320, 69120},
    {"deepseek-v3", 671026419200, 37552297472, 70272},
    {"falcon-7b", 6921720704, 6921720704, 8192},
    {"gpt-2", 124439808, 124439808, 36864},
    {"gemma-2-27b", 27227128320, 27227128320, 376832},
    {"gemma-2-9b", 9241705984, 9241705984, 344064},
    {"gemma-3-27b", 27009346304, 27009346304, 507904},
    {"kimi-k2", 1026408232448, 32861500928, 70272},
    {"llama-2-13b", 13015864320, 13015864320, 819200},
    {"llama-2-70b", 68976648192, 68976648192, 327680},
    {"llama-2-7b", 6738415616, 6738415616, 524288},
    {"llama-3.1-405b", 405853388800, 405853388800, 516096},
    {"llama-3.1-70b", 70553706496, 70553706496, 327680},
    {"llama-3.1-8b", 8030261248, 8030261248, 131072},
    {"llama-4-maverick", 400711848960, 17184691200, 196608},
    {"llama-4-scout", 107769861120, 17172894720, 196608},
    {"mistral-7b-v0.1", 7241732096, 7241732096, 131072},
    {"mixtral-8x22b", 140620634112, 39152031744, 229376},
    {"mixtral-8x7b", 46702792704, 12879925248, 131072},
    {"qwen2.5-72b", 72706203648, 72706203648, 327680},
    {"qwen2.5-7b", 7615616512, 7615616512, 57344},
    {"qwen3-235b-a22b", 235093634560, 22190763520, 192512},
    {"qwen3-30b-a3b", 30532122624, 3353032704, 98304},
    {"qwen3-32b", 32762123264, 32762123264, 262144},
    {"qwen3-8b", 8190735360, 8190735360, 147456},
    {"gpt-oss-120b", 116829156672, 5711982912, 73728},
    {"gpt-oss-20b", 20914757184, 4187440704, 49152},
};

LlmShape shape(const char* id) { return load_llm(id).shape; }

}  // namespace

TEST_CASE("parameters and K/V bytes of the bundled networks equal the published counts") {
  for (const Row& row : kRows) {
    CAPTURE(row.id);
    const LlmShape llm = shape(row.id);
    CHECK(llm.id == row.id);
    CHECK(total_params(llm) == row.params);
    CHECK(active_params(llm) == row.active);
    CHECK(kv_bytes_per_token(llm, Dtype::bf16).value == row.kv_bytes_per_token);
  }
}

TEST_CASE("shapes that share a checkpoint size match its published total") {
  // safetensors totals on huggingface.co
  CHECK(total_params(shape("llama-3.3-70b")) == 70553706496);
  CHECK(total_params(shape("llama-3.2-1b")) == 1235814400);
  CHECK(total_params(shape("llama-3.2-3b")) == 3212749824);
  CHECK(total_params(shape("qwen3-4b")) == 4022468096);
  CHECK(total_params(shape("qwen3-14b")) == 14768307200);
  CHECK(total_params(shape("qwen2.5-14b")) == 14770033664);
  CHECK(total_params(shape("qwen2.5-32b")) == 32763876352);
  CHECK(total_params(shape("mistral-small-24b")) == 23572403200);
}

TEST_CASE("networks known by rounded counts agree with their model cards") {
  struct Card {
    const char* id;
    double total, active, tolerance;  // billions; the cards' active counts leave embeddings out
  };
  for (const Card& card : {Card{"minimax-m2.5", 229, 10, 0.005},  // 228.7 B of safetensors
                           Card{"kimi-k2.5", 1026, 32, 0.005},
                           // 744 B leaves the multi-token-prediction layer out.
                           Card{"glm-5", 744, 40, 0.005}, Card{"qwen3.5-397b-a17b", 397, 17, 0.005},
                           Card{"glm-4.5-air", 106, 12, 0.02}}) {
    CAPTURE(card.id);
    const LlmShape llm = shape(card.id);
    const double embeddings = 2.0 * llm.vocab * llm.d_model;
    CHECK(static_cast<double>(total_params(llm)) / 1e9 ==
          doctest::Approx(card.total).epsilon(card.tolerance));
    const double active = static_cast<double>(active_params(llm));
    CHECK(active / 1e9 > card.active * 0.97);
    CHECK((active - embeddings) / 1e9 < card.active * 1.03);
  }
}

TEST_CASE("a hybrid network keeps a state per request beside the cache of its full layers") {
  // 45 layers: 64 states of 128 x 128 in fp32, three past tokens of 2·16·128 + 64·128 channels in
  // BF16; 15 layers of 2 heads of 256 + 256 in BF16
  const LlmShape llm = shape("qwen3.5-397b-a17b");
  const double state = 45 * (64 * 128 * 128 * 4. + 3 * 12288 * 2.);
  CHECK(kv_bytes(llm, Dtype::bf16, 0).value == state);
  CHECK(kv_bytes(llm, Dtype::bf16, 1000).value == state + 1000 * 15 * 2 * 512 * 2.);
}

TEST_CASE("an indexer adds an FP8 key and its scale to each cached token") {
  // 61 layers: 576 values of the latent and 128 + 4 bytes
  CHECK(kv_bytes_per_token(shape("deepseek-v3.2"), Dtype::bf16).value == 61 * (1152 + 132));
  CHECK(kv_bytes_per_token(shape("deepseek-v3.2"), Dtype::fp8_per_token).value == 61 * (656 + 132));
}

TEST_CASE("Qwen3-Next: 79 billion parameters beside embeddings, as its card says") {
  const LlmShape llm = shape("qwen3-next-80b-a3b");
  const double embeddings = 2. * llm.vocab * llm.d_model;
  CHECK(static_cast<double>(total_params(llm)) - embeddings == doctest::Approx(79e9).epsilon(2e-3));
}
