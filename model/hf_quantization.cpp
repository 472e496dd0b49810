#include "model/hf_quantization.hpp"

#include <fmt/format.h>

#include <optional>
#include <string>

namespace kvroof::hf {
namespace {

/// quant_algo of NVIDIA's ModelOpt, in quantization_config or hf_quant_config.json.
std::optional<Dtype> from_modelopt(std::string_view algo) {
  if (algo == "FP8") return Dtype::fp8;
  if (algo == "FP8_PB_WO" || algo == "FP8_BLOCK_SCALES") return Dtype::fp8_block128;
  if (algo == "NVFP4" || algo == "NVFP4_AWQ" || algo == "W4A16_NVFP4") return Dtype::nvfp4;
  if (algo == "W4A16_AWQ" || algo == "W4A8_AWQ" || algo == "W4A16") return Dtype::int4_g128;
  if (algo == "W8A16" || algo == "W8A8_SQ_PER_CHANNEL" || algo == "INT8") return Dtype::int8;
  return {};
}

std::optional<Dtype> from_compressed_tensors(const Node& q) {
  const Node* groups = q.find("config_groups");
  const Node* weights = groups && groups->is_map() && !groups->items.empty()
                            ? groups->items[0].find("weights")
                            : nullptr;
  const Node* bits = weights ? weights->find("num_bits") : nullptr;
  const Node* type = weights ? weights->find("type") : nullptr;
  if (!bits || !type) return {};
  if (bits->text == "8") {
    const Node* strategy = weights->find("strategy");
    if (type->text == "int") return Dtype::int8;
    return strategy && strategy->text == "block" ? Dtype::fp8_block128 : Dtype::fp8;
  }
  if (bits->text == "4") return type->text == "float" ? Dtype::nvfp4 : Dtype::int4_g128;
  return {};
}

/// The format of the linear layers as quantization_config states it; nullopt = refused.
std::optional<Dtype> quantized_format(const Node& q) {
  const Node* method = q.find("quant_method");
  const std::string name = method ? method->text : std::string();
  if (const Node* algo = q.find("quant_algo")) return from_modelopt(algo->text);
  if (name == "fp8" || name == "fbgemm_fp8") {
    const Node* block = q.find("weight_block_size");
    return block && !block->is_null() ? Dtype::fp8_block128 : Dtype::fp8;
  }
  if (name == "mxfp4") return Dtype::mxfp4;
  if (name == "awq" || name == "gptq") {
    const Node* bits = q.find("bits");
    if (!bits || bits->text == "4") return Dtype::int4_g128;
    if (bits->text == "8") return Dtype::int8;
    return {};
  }
  if (name == "compressed-tensors") return from_compressed_tensors(q);
  return {};
}

/// Whether modules_to_not_convert (or ignore) names attention layers.
bool keeps_attention(const Node& q) {
  for (const std::string_view key : {"modules_to_not_convert", "ignore", "exclude_modules"})
    if (const Node* list = q.find(key))
      for (const Node& n : list->items)
        if (n.is_scalar() && n.text.find("self_attn") != std::string::npos) return true;
  return false;
}

}  // namespace

void read_formats(Config& c, const Node& outer, const Node& quant_file, LlmConfig& out) {
  LlmShape& s = out.shape;
  std::string stored = c.text("torch_dtype");
  if (stored.empty()) stored = c.text("dtype");
  if (stored.empty())
    if (const Node* n = outer.find("torch_dtype"); n && n->is_scalar()) stored = n->text;
  const std::optional<Dtype> plain = stored.empty() ? Dtype::bf16 : dtype_from_name(stored);
  if (!plain) c.refuse("torch_dtype", fmt::format("unknown format {}", json_quote(stored)));
  s.weights = s.attention_weights = s.head_weights = plain.value_or(Dtype::bf16);

  const Node* q = quant_file.find("quantization");
  if (!q) q = outer.find("quantization_config");
  if (!q) q = c.node().find("quantization_config");
  if (!q || q->is_null()) return;
  if (!q->is_map())
    return c.refuse("quantization_config", "expected a mapping, got " + described(*q));
  const std::optional<Dtype> format = quantized_format(*q);
  if (!format) {
    const Node* method = q->find("quant_algo") ? q->find("quant_algo") : q->find("quant_method");
    return c.refuse("quantization_config",
                    fmt::format("unknown quantisation {}; known are fp8, mxfp4, awq, gptq, "
                                "compressed-tensors and ModelOpt's FP8, NVFP4, W4A16_AWQ, INT8",
                                method ? described(*method) : "without quant_method"));
  }
  s.weights = *format;
  if (s.head_weights == Dtype::fp32) s.head_weights = Dtype::bf16;
  s.attention_weights = keeps_attention(*q) ? s.head_weights : *format;
  if (const Node* kv = q->find("kv_cache_quant_algo"); kv && kv->is_scalar())
    out.notes.push_back(
        fmt::format("the checkpoint asks for a {} KV cache; set serving.kv_cache_dtype "
                    "to follow it",
                    kv->text));
}
}  // namespace kvroof::hf
