// A Hugging Face config.json -> LlmShape. Hugging Face spellings end here. Also read: our own small
// YAML files in scenarios/llms, which hold the same fields of a public config under `config:`.
#pragma once
#include <string>
#include <vector>

#include "model/node.hpp"
#include "model/shape.hpp"

namespace kvroof {

/// A network and what the reader of its report should know about how it was read.
struct LlmConfig {
  LlmShape shape;
  std::vector<std::string> huggingface;  // repositories that publish this shape
  std::vector<std::string> notes;        // assumptions made, fields left out
};

struct LlmOptions {
  bool allow_unknown_arch = false;  // read an unknown model_type as a dense Llama-like decoder
};

/// JSON as a Node with marks; the same limits and strictness as parse_yaml.
Node parse_json(std::string text, std::string name);

/// The fields of a config.json; `quantization` is hf_quant_config.json or null. Text towers of
/// multi-modal configs are found under text_config. Throws UserError naming every missing field.
LlmConfig llm_from_config(const Node& config, const Node& quantization, const LlmOptions& options);

/// Our own file: schema, id, huggingface: [...], config: {...}.
LlmConfig llm_from_bundle(const Node& root, const LlmOptions& options);

/// A config.json, a folder that holds one, or a bundled .yaml.
LlmConfig load_llm_file(const std::string& path, const LlmOptions& options = {});

/// model_type values that can be counted.
std::vector<std::string_view> known_architectures();

}  // namespace kvroof
