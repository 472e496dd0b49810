// config.json as Hugging Face publishes it: weight formats of the quantised checkpoints, nested
// text towers, refusals; and the reference counts, where that data is at hand.
#include "model/hf_config.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "model/llm_counts.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

using namespace kvroof;
namespace fs = std::filesystem;

namespace {

const std::string kLlama =
    R"("model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
       "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256)";

LlmConfig read(const std::string& fields, const std::string& quant_file = "{}") {
  return llm_from_config(parse_json("{" + fields + "}", "config.json"),
                         parse_json(quant_file, "hf_quant_config.json"), {});
}

}  // namespace

TEST_CASE("quantization_config gives the format of the linear layers; the head stays as stored") {
  struct Row {
    const char* config;
    Dtype weights;
  };
  const Row rows[] = {
      {R"({"quant_method": "awq", "bits": 4, "group_size": 128})", Dtype::int4_g128},
      {R"({"quant_method": "gptq", "bits": 4, "group_size": 128})", Dtype::int4_g128},
      {R"({"quant_method": "gptq", "bits": 8})", Dtype::int8},
      {R"({"quant_method": "fp8", "activation_scheme": "static"})", Dtype::fp8},
      {R"({"quant_method": "fp8", "weight_block_size": [128, 128]})", Dtype::fp8_block128},
      {R"({"quant_method": "mxfp4"})", Dtype::mxfp4},
      {R"({"quant_method": "compressed-tensors", "config_groups":
          {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}})",
       Dtype::fp8},
      {R"({"quant_method": "compressed-tensors", "config_groups":
          {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}})",
       Dtype::int4_g128},
      {R"({"quant_method": "modelopt", "quant_algo": "NVFP4"})", Dtype::nvfp4},
  };
  for (const Row& row : rows) {
    CAPTURE(row.config);
    const LlmShape s = read(kLlama + R"(, "quantization_config": )" + row.config).shape;
    CHECK(s.weights == row.weights);
    CHECK(s.attention_weights == row.weights);
    CHECK(s.head_weights == Dtype::bf16);
  }
}

TEST_CASE("hf_quant_config.json of ModelOpt goes before the config and its KV format is noted") {
  const LlmConfig llm = read(kLlama, R"({"producer": {"name": "modelopt"}, "quantization":
      {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}})");
  CHECK(llm.shape.weights == Dtype::fp8);
  REQUIRE(llm.notes.size() == 1);
  CHECK(llm.notes[0].find("FP8 KV cache") != std::string::npos);
  CHECK_THROWS_AS(read(kLlama, R"({"quantization": {"quant_algo": "W2A2"}})"), UserError);
}

TEST_CASE("attention that is left unquantised keeps its format") {
  const LlmShape s = read(kLlama + R"(, "quantization_config": {"quant_method": "mxfp4",
      "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]})")
                         .shape;
  CHECK(s.weights == Dtype::mxfp4);
  CHECK(s.attention_weights == Dtype::bf16);
}

TEST_CASE("a text tower is found under text_config, and the note says what is left out") {
  const LlmConfig llm =
      read(R"("model_type": "llava", "torch_dtype": "float16", "text_config": {)" + kLlama + "}");
  CHECK(llm.shape.architecture == "llama");
  CHECK(llm.shape.weights == Dtype::fp16);
  // the sum of the public Llama-3.1-8B
  CHECK(total_params(llm.shape) == 8030261248);
  REQUIRE(llm.notes.size() == 1);
  CHECK(llm.notes[0] == "only the text tower (text_config) is counted");
}

TEST_CASE("an unknown architecture is read as dense only when asked, and says so") {
  const Node config = parse_json("{" + kLlama + R"(, "mamba_d_state": 16})", "config.json");
  Node unknown = config;
  unknown.find("model_type")->text = "jambalaya";
  CHECK_THROWS_WITH_AS(llm_from_config(unknown, null_node(), {}),
                       doctest::Contains("no meaning is known for mamba_d_state"), UserError);
  const LlmConfig llm = llm_from_config(unknown, null_node(), {.allow_unknown_arch = true});
  CHECK(total_params(llm.shape) == 8030261248);
  CHECK(llm.notes.size() == 2);
}

TEST_CASE("counts of the reference configs, where that data is at hand") {
  const char* set = std::getenv("KVROOF_REFERENCE_DATA");
  const fs::path data =
      set ? fs::path(set) : fs::path(KVROOF_SOURCE_DIR) / ".." / "shared" / "data";
  std::error_code none;
  if (!fs::is_directory(data / "llms", none)) {
    MESSAGE("skipped: no llms/ in $KVROOF_REFERENCE_DATA or ../shared/data");
    return;
  }
  int files = 0;
  for (const auto& entry : fs::directory_iterator(data / "llms")) {
    if (entry.path().extension() != ".json") continue;
    CAPTURE(entry.path().filename().string());
    const Node root = parse_json(read_text_file(entry.path().string()), entry.path().string());
    const LlmShape s = llm_from_config(*root.find("config"), null_node(), {}).shape;
    const Node& derived = *root.find("derived");
    CHECK(std::to_string(total_params(s)) == derived.find("total_params_formula")->text);
    CHECK(std::to_string(active_params(s)) == derived.find("active_params_formula")->text);
    CHECK(kv_bytes_per_token(s, Dtype::bf16).value ==
          std::stod(derived.find("kv_bytes_per_token_bf16")->text));
    ++files;
  }
  CHECK(files > 0);
}

TEST_CASE("hybrid networks: layer_types or full_attention_interval say which layers keep a state") {
  const std::string fields =
      R"("model_type": "qwen3_next", "hidden_size": 2048, "num_hidden_layers": 8,
         "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
         "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
         "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "intermediate_size": 5120,
         "vocab_size": 151936)";
  const auto count_linear = [&](const std::string& more) {
    int n = 0;
    for (const LayerGroup& g : read(fields + more).shape.layers)
      if (std::holds_alternative<LinearAttention>(g.attention)) n += g.count;
    return n;
  };
  CHECK(count_linear("") == 6);
  CHECK(count_linear(R"(, "full_attention_interval": 2)") == 4);
  const std::string l = R"("linear_attention")", f = R"("full_attention")";
  const std::string list = l + "," + l + "," + l + "," + l + "," + l + "," + l + "," + l + "," + f;
  CHECK(count_linear(R"(, "layer_types": [)" + list + "]") == 7);
}
