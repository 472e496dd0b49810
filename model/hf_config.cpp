#include "model/hf_config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "model/quantity.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

namespace kvroof {
namespace {

/// Which layers see only a window of the past.
enum class Locality {
  none,       // all layers see everything
  window,     // sliding_window, when not null, holds for every layer (Mistral)
  opt_in,     // only with use_sliding_window: true, from max_window_layers on (Qwen2, Qwen3)
  alternate,  // every other layer, beginning with the first (Gemma-2, gpt-oss)
  pattern,    // all but every sliding_window_pattern-th layer (Gemma-3)
  chunked,    // attention_chunk_size on layers with rotary positions: all but every 4th (Llama-4)
};

/// Facts about an architecture that its config.json does not spell out.
struct Architecture {
  std::string_view model_type;
  bool latent = false;  // MLA
  bool plain = false;   // LayerNorm, a two-matrix MLP with biases (GPT-2 and its contemporaries)
  bool qkv_bias = false, qk_norm = false;
  bool tied = false;  // when tie_word_embeddings is absent
  int norms = 2;
  Locality locality = Locality::none;
};

constexpr std::array kArchitectures{
    Architecture{.model_type = "llama"},
    Architecture{.model_type = "mistral", .locality = Locality::window},
    Architecture{.model_type = "mixtral", .locality = Locality::window},
    Architecture{.model_type = "phi3", .locality = Locality::window},
    Architecture{.model_type = "qwen2", .qkv_bias = true, .locality = Locality::opt_in},
    Architecture{.model_type = "qwen3", .qk_norm = true, .locality = Locality::opt_in},
    Architecture{.model_type = "qwen3_moe", .qk_norm = true, .locality = Locality::opt_in},
    Architecture{.model_type = "gemma", .tied = true},
    Architecture{.model_type = "gemma2", .tied = true, .norms = 4, .locality = Locality::alternate},
    Architecture{.model_type = "gemma3_text",
                 .qk_norm = true,
                 .tied = true,
                 .norms = 4,
                 .locality = Locality::pattern},
    Architecture{.model_type = "falcon", .tied = true},
    Architecture{.model_type = "gpt2", .plain = true, .tied = true},
    Architecture{.model_type = "gptj", .plain = true},
    Architecture{.model_type = "opt", .plain = true, .tied = true},
    Architecture{.model_type = "bloom", .plain = true, .tied = true},
    Architecture{.model_type = "glm4_moe"},
    Architecture{.model_type = "deepseek_v2", .latent = true},
    Architecture{.model_type = "deepseek_v3", .latent = true},
    Architecture{.model_type = "kimi_k2", .latent = true},
    Architecture{.model_type = "llama4_text", .locality = Locality::chunked},
    Architecture{.model_type = "gpt_oss", .locality = Locality::alternate},
};

const Architecture* find_architecture(std::string_view model_type) {
  for (const Architecture& a : kArchitectures)
    if (a.model_type == model_type) return &a;
  return nullptr;
}

/// Bounds of every integer field: generous, and small enough that parameter counts fit 63 bits.
struct Bound {
  std::int64_t max;
};
constexpr Bound kLayers{1 << 10}, kWidth{1 << 17}, kInner{1 << 20}, kHeads{1 << 12},
    kHeadDim{1 << 12}, kExperts{1 << 14}, kVocab{1 << 24}, kPositions{1 << 30};

/// Typed reads of a config; fields that are not asked for are not our concern (a config.json holds
/// dozens that no count depends on).
class Config {
 public:
  Config(const Node& node, Errors& errors) : node_(node), errors_(errors) {}

  bool has(std::string_view key) const {
    const Node* n = node_.find(key);
    return n && !n->is_null();
  }
  /// The first of the names that is present; 0 and an error when none is.
  int need(std::initializer_list<std::string_view> names, Bound bound) {
    for (const std::string_view name : names)
      if (has(name)) return integer(name, 1, bound);
    const std::string first(*names.begin());
    if (std::find(missing_.begin(), missing_.end(), first) == missing_.end())
      missing_.push_back(first);
    return 0;
  }
  int get(std::string_view key, Bound bound, int fallback, int min = 0) {
    return has(key) ? integer(key, min, bound) : fallback;
  }
  bool flag(std::string_view key, bool fallback) {
    if (!has(key)) return fallback;
    const Node& n = *node_.find(key);
    if (n.is_scalar() && !n.quoted && (n.text == "true" || n.text == "false"))
      return n.text == "true";
    errors_.add(n.mark, key, "expected true or false, got " + described(n));
    return fallback;
  }
  std::string text(std::string_view key) {
    if (!has(key)) return {};
    const Node& n = *node_.find(key);
    if (n.is_scalar()) return n.text;
    errors_.add(n.mark, key, "expected a text, got " + described(n));
    return {};
  }
  const Node* list(std::string_view key) {
    if (!has(key)) return nullptr;
    const Node& n = *node_.find(key);
    if (n.is_sequence()) return &n;
    errors_.add(n.mark, key, "expected a list, got " + described(n));
    return nullptr;
  }
  void refuse(std::string_view key, std::string_view message) {
    const Node* n = node_.find(key);
    errors_.add(n ? n->mark : node_.mark, key, message);
  }
  void refuse_missing(std::string_view of) {
    if (!missing_.empty())
      errors_.add(node_.mark, "",
                  fmt::format("{} needs the missing field{} {}", of, missing_.size() > 1 ? "s" : "",
                              fmt::join(missing_, ", ")));
  }
  const Node& node() const { return node_; }
  /// Whether all that was read so far is sound: rules between fields speak only then.
  bool sound() const { return errors_.empty() && missing_.empty(); }

  static std::optional<std::int64_t> whole(const Node& n, std::int64_t min, std::int64_t max) {
    const std::optional<double> v =
        n.is_scalar() && !n.quoted ? parse_number(n.text) : std::nullopt;
    if (!v || *v != std::floor(*v) || *v < static_cast<double>(min) ||
        *v > static_cast<double>(max))
      return {};
    return static_cast<std::int64_t>(*v);
  }

 private:
  int integer(std::string_view key, int min, Bound bound) {
    const Node& n = *node_.find(key);
    const std::optional<std::int64_t> v = whole(n, min, bound.max);
    if (!v)
      errors_.add(
          n.mark, key,
          fmt::format("expected an integer from {} to {}, got {}", min, bound.max, described(n)));
    return static_cast<int>(v.value_or(min));
  }

  const Node& node_;
  Errors& errors_;
  std::vector<std::string> missing_;
};

// ---- weight formats ---------------------------------------------------------------------------

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

// ---- layers -----------------------------------------------------------------------------------

/// Window of layer i; 0 = sees everything.
int window_of(Config& c, const Architecture& a, int i, const Node* layer_types) {
  const std::string_view key =
      a.locality == Locality::chunked ? "attention_chunk_size" : "sliding_window";
  const int window = c.get(key, kPositions, 0, 1);
  if (a.locality == Locality::none || window == 0) return 0;
  if (a.locality == Locality::opt_in && !c.flag("use_sliding_window", false)) return 0;
  if (layer_types)
    return layer_types->items[static_cast<std::size_t>(i)].text == "full_attention" ? 0 : window;
  switch (a.locality) {
    case Locality::none:
      return 0;
    case Locality::window:
      return window;
    case Locality::opt_in:
      return i >= c.get("max_window_layers", kLayers, 0) ? window : 0;
    case Locality::alternate:
      return i % 2 == 0 ? window : 0;
    case Locality::pattern:
      return (i + 1) % c.get("sliding_window_pattern", kLayers, 6, 1) ? window : 0;
    case Locality::chunked:
      return (i + 1) % c.get("no_rope_layer_interval", kLayers, 4, 1) ? window : 0;
  }
  return 0;
}

AttentionKind attention_of(Config& c, const Architecture& a) {
  const int h_q = c.need({"num_attention_heads", "n_head"}, kHeads);
  if (a.latent)
    return LatentAttention{.h_q = h_q,
                           .d_nope = c.need({"qk_nope_head_dim"}, kHeadDim),
                           .d_rope = c.need({"qk_rope_head_dim"}, kHeadDim),
                           .d_v = c.need({"v_head_dim"}, kHeadDim),
                           .d_c = c.need({"kv_lora_rank"}, kInner),
                           .q_rank = c.get("q_lora_rank", kInner, 0)};
  const int d_model = c.need({"hidden_size", "n_embd"}, kWidth);
  int h_kv = c.get("num_key_value_heads", kHeads, h_q, 1);
  if (a.model_type == "falcon") {
    // num_kv_heads is a count only in the new decoder; multi_query means one head whatever it says.
    if (c.flag("new_decoder_architecture", false)) h_kv = c.get("num_kv_heads", kHeads, h_kv, 1);
    else h_kv = c.flag("multi_query", true) ? 1 : h_q;
  }
  if (c.sound() && h_q % h_kv != 0)
    c.refuse("num_key_value_heads",
             fmt::format("expected a divisor of the {} query heads, got {}", h_q, h_kv));
  int d = c.get("head_dim", kHeadDim, 0, 1);
  if (d == 0 && h_q > 0) {
    if (c.sound() && d_model % h_q != 0)
      c.refuse("hidden_size",
               fmt::format("expected a multiple of the {} heads, got {}: head_dim is missing", h_q,
                           d_model));
    d = std::min(d_model / h_q, static_cast<int>(kHeadDim.max));
  }
  const bool biased = a.plain && a.model_type != "gptj";
  const bool bias = c.flag(a.model_type == "falcon" ? "bias" : "attention_bias", false);
  return GroupedAttention{.h_q = h_q,
                          .h_kv = h_kv,
                          .d_qk = d,
                          .d_v = d,
                          .qkv_bias = biased || a.qkv_bias || bias,
                          // Qwen2's and GLM-4.5's attention_bias names their qkv bias; o_proj has none.
                          .o_bias = biased || (bias && a.model_type != "qwen2" && a.model_type != "glm4_moe"),
                          .qk_norm = a.qk_norm || c.flag("use_qk_norm", false),
                          .sinks = a.model_type == "gpt_oss"};
}

bool contains(const Node* list, int value) {
  return list && std::any_of(list->items.begin(), list->items.end(), [&](const Node& n) {
           return Config::whole(n, 0, kLayers.max) == value;
         });
}

DenseMlp dense_mlp(Config& c, const Architecture& a) {
  if (a.plain)
    return {.d_ff = c.get("n_inner", kInner,
                          c.get(c.has("ffn_dim") ? "ffn_dim" : "intermediate_size", kInner,
                                4 * c.need({"hidden_size", "n_embd"}, kWidth), 1),
                          1),
            .gated = false,
            .bias = true};
  if (a.model_type == "falcon")
    return {.d_ff = c.get(
                "ffn_hidden_size", kInner,
                c.get("intermediate_size", kInner, 4 * c.need({"hidden_size"}, kWidth), 1), 1),
            .gated = false,
            .bias = c.flag("bias", false)};
  if (a.model_type == "llama4_text") return {.d_ff = c.need({"intermediate_size_mlp"}, kInner)};
  return {.d_ff = c.need({"intermediate_size"}, kInner), .bias = c.flag("mlp_bias", false)};
}

/// The MLP of layer i: architectures differ in which layers have experts and what they call them.
MlpKind mlp_of(Config& c, const Architecture& a, int i) {
  if (a.model_type == "mixtral" || a.model_type == "gpt_oss") {
    const bool gpt_oss = a.model_type == "gpt_oss";
    return MoeMlp{.num_experts = c.need({"num_local_experts"}, kExperts),
                  .top_k = c.need({"num_experts_per_tok", "experts_per_token"}, kExperts),
                  .d_ff_expert = c.need({"intermediate_size"}, kInner),
                  .bias = gpt_oss,
                  .router_bias = gpt_oss};
  }
  if (a.model_type == "qwen3_moe") {
    // intermediate_size is unused but for the layers kept dense.
    const bool dense = contains(c.list("mlp_only_layers"), i) ||
                       (i + 1) % c.get("decoder_sparse_step", kLayers, 1, 1) != 0;
    if (dense) return dense_mlp(c, a);
    return MoeMlp{.num_experts = c.need({"num_experts"}, kExperts),
                  .top_k = c.need({"num_experts_per_tok"}, kExperts),
                  .d_ff_expert = c.need({"moe_intermediate_size"}, kInner)};
  }
  if (a.latent || a.model_type == "glm4_moe") {
    const bool dense = !c.has("n_routed_experts") ||
                       i < c.get("first_k_dense_replace", kLayers, 0) ||
                       i % c.get("moe_layer_freq", kLayers, 1, 1) != 0;
    if (dense) return dense_mlp(c, a);
    const int d_ff = c.need({"moe_intermediate_size"}, kInner);
    return MoeMlp{
        .num_experts = c.need({"n_routed_experts"}, kExperts),
        .top_k = c.need({"num_experts_per_tok"}, kExperts),
        .d_ff_expert = d_ff,
        .d_ff_shared = d_ff * c.get("n_shared_experts", {64}, 0),
        // e_score_correction_bias of the bias-corrected router (DeepSeek-V3, section 2.1.2)
        .router_bias = a.model_type != "deepseek_v2"};
  }
  if (a.model_type == "llama4_text") {
    const int step = c.get("interleave_moe_layer_step", kLayers, 1);
    const Node* listed = c.list("moe_layers");
    const bool moe = listed ? contains(listed, i) : step > 0 && (i + 1) % step == 0;
    if (!moe) return dense_mlp(c, a);
    const int d_ff = c.need({"intermediate_size"}, kInner);
    return MoeMlp{.num_experts = c.need({"num_local_experts"}, kExperts),
                  .top_k = c.need({"num_experts_per_tok"}, kExperts),
                  .d_ff_expert = d_ff,
                  .d_ff_shared = d_ff};
  }
  return dense_mlp(c, a);
}

void check_top_k(Config& c, const MlpKind& mlp) {
  if (const auto* moe = std::get_if<MoeMlp>(&mlp); moe && moe->top_k > moe->num_experts)
    c.refuse("num_experts_per_tok",
             fmt::format("expected at most the {} experts, got {}", moe->num_experts, moe->top_k));
}

bool same_kind(const LayerGroup& a, const LayerGroup& b) {
  return a.attention == b.attention && a.mlp == b.mlp;
}

void read_layers(Config& c, const Architecture& a, int n_layers, LlmShape& s) {
  const Node* layer_types = c.list("layer_types");
  if (layer_types && static_cast<int>(layer_types->items.size()) != n_layers) {
    c.refuse("layer_types", fmt::format("expected one entry for each of the {} layers, got {}",
                                        n_layers, layer_types->items.size()));
    layer_types = nullptr;
  }
  if (layer_types)
    for (const Node& n : layer_types->items)
      if (n.text != "full_attention" && n.text != "sliding_attention" &&
          n.text != "chunked_attention")
        return c.refuse("layer_types", fmt::format("expected full_attention, sliding_attention or "
                                                   "chunked_attention, got {}",
                                                   described(n)));
  const bool layer_norm = a.model_type == "falcon" || a.plain;
  const bool parallel = a.model_type == "gptj" ||
                        (a.model_type == "falcon" && c.flag("parallel_attn", true));
  const bool two_norms = a.model_type == "falcon" && c.flag("new_decoder_architecture", false);
  const AttentionKind attention = attention_of(c, a);
  for (int i = 0; i < n_layers; ++i) {
    LayerGroup layer{.count = 1,
                     .attention = attention,
                     .mlp = mlp_of(c, a, i),
                     .norms = parallel && !two_norms ? 1 : a.norms,
                     .norm_bias = layer_norm,
                     .parallel = parallel};
    if (auto* grouped = std::get_if<GroupedAttention>(&layer.attention))
      grouped->window = window_of(c, a, i, layer_types);
    const auto same = std::find_if(s.layers.begin(), s.layers.end(),
                                   [&](const LayerGroup& g) { return same_kind(g, layer); });
    if (same != s.layers.end()) {
      ++same->count;
    } else {
      check_top_k(c, layer.mlp);
      s.layers.push_back(std::move(layer));
    }
  }
}

/// Fields of an unknown architecture that say it is more than a dense decoder.
std::vector<std::string> unusual_fields(const Node& config) {
  std::vector<std::string> found;
  for (const Node::Key& k : config.keys)
    for (const std::string_view hint :
         {"expert", "lora_rank", "ssm", "mamba", "conv", "linear_", "state_", "layer_types",
          "compress", "index_", "cross_attn"})
      if (k.name.find(hint) != std::string::npos) {
        found.push_back(k.name);
        break;
      }
  return found;
}

constexpr Architecture kDense{.model_type = "dense", .locality = Locality::none};

}  // namespace

std::vector<std::string_view> known_architectures() {
  std::vector<std::string_view> names;
  for (const Architecture& a : kArchitectures) names.push_back(a.model_type);
  return names;
}

LlmConfig llm_from_config(const Node& outer, const Node& quant_file, const LlmOptions& options) {
  Errors errors;
  if (!outer.is_map())
    errors.add(outer.mark, "", "expected the fields of a config.json, got " + described(outer));
  errors.throw_if_any();
  const Node* text = outer.find("text_config");
  const Node& config = text && text->is_map() ? *text : outer;
  Config c(config, errors);
  LlmConfig out;
  LlmShape& s = out.shape;
  if (text && text->is_map()) out.notes.push_back("only the text tower (text_config) is counted");

  s.architecture = c.text("model_type");
  const Architecture* a = find_architecture(s.architecture);
  if (!a) {
    const std::vector<std::string> unusual = unusual_fields(config);
    if (!options.allow_unknown_arch) {
      std::string why = s.architecture.empty()
                            ? std::string("the field model_type is missing")
                            : fmt::format("unknown architecture {}", json_quote(s.architecture));
      if (!unusual.empty())
        why += fmt::format("; no meaning is known for {}", fmt::join(unusual, ", "));
      why += did_you_mean(s.architecture, known_architectures());
      errors.add(config.find("model_type") ? config.find("model_type")->mark : config.mark,
                 "model_type",
                 fmt::format("{}; known: {}. --allow-unknown-arch reads it as a dense decoder", why,
                             fmt::join(known_architectures(), ", ")));
      errors.throw_if_any();
    }
    a = &kDense;
    out.notes.push_back(fmt::format("unknown architecture {} read as a dense Llama-like decoder",
                                    json_quote(s.architecture)));
    if (!unusual.empty())
      out.notes.push_back(fmt::format("not understood and left out: {}", fmt::join(unusual, ", ")));
  }

  const int n_layers = c.need({"num_hidden_layers", "n_layer"}, kLayers);
  s.d_model = c.need({"hidden_size", "n_embd"}, kWidth);
  s.vocab = c.need({"vocab_size"}, kVocab);
  s.max_positions =
      c.get("max_position_embeddings", kPositions, c.get("n_positions", kPositions, 0, 1), 1);
  if (a->model_type == "gpt2" || a->model_type == "opt") s.learned_positions = s.max_positions;
  s.tied_embeddings = c.flag("tie_word_embeddings", a->tied);
  s.final_norm_bias = a->plain || a->model_type == "falcon";
  read_layers(c, *a, n_layers, s);
  read_formats(c, outer, quant_file, out);
  if (c.get("num_nextn_predict_layers", kLayers, 0) > 0)
    out.notes.push_back("the multi-token-prediction layer is left out of counts and memory");
  c.refuse_missing(s.architecture.empty() ? "the network" : s.architecture);
  errors.throw_if_any();
  return out;
}

LlmConfig llm_from_bundle(const Node& root, const LlmOptions& options) {
  Errors errors;
  const Node* id = root.find("id");
  const Node* config = root.find("config");
  const Node* repositories = root.find("huggingface");
  const Node* schema = root.find("schema");
  const std::vector<std::string_view> known{"schema", "id", "huggingface", "config", "note"};
  for (const Node::Key& k : root.keys)
    if (std::find(known.begin(), known.end(), k.name) == known.end())
      errors.add(k.mark, "",
                 fmt::format("unknown key '{}'{}", k.name, did_you_mean(k.name, known)));
  if (!schema || !schema->is_scalar() || schema->text != "kvroof/llm/v1")
    errors.add(schema ? schema->mark : root.mark, "schema",
               "expected kvroof/llm/v1, got " + (schema ? described(*schema) : "nothing"));
  if (!id || !id->is_scalar()) errors.add(id ? id->mark : root.mark, "id", "expected a name");
  if (!config) errors.add(root.mark, "config", "expected the fields of a config.json, got nothing");
  if (!repositories || !repositories->is_sequence())
    errors.add(repositories ? repositories->mark : root.mark, "huggingface",
               "expected a list of repositories that publish this config");
  errors.throw_if_any();
  LlmConfig out = llm_from_config(*config, null_node(), options);
  out.shape.id = id->text;
  for (const Node& r : repositories->items) out.huggingface.push_back(r.text);
  if (!out.huggingface.empty())
    out.shape.source = "https://huggingface.co/" + out.huggingface.front();
  return out;
}

LlmConfig load_llm_file(const std::string& path, const LlmOptions& options) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path file =
      fs::is_directory(path, ignored) ? fs::path(path) / "config.json" : fs::path(path);
  if (const auto ext = file.extension(); ext == ".yaml" || ext == ".yml") {
    const Node root = load_yaml(file.string());
    if (root.find("config") || root.find("schema")) return llm_from_bundle(root, options);
    LlmConfig out = llm_from_config(root, null_node(), options);
    out.shape.id = file.stem().string();
    out.shape.source = file.string();
    return out;
  }
  const Node config = parse_json(read_text_file(file.string()), file.string());
  Node quant = null_node();
  if (const fs::path q = file.parent_path() / "hf_quant_config.json"; fs::exists(q, ignored))
    quant = parse_json(read_text_file(q.string()), q.string());
  LlmConfig out = llm_from_config(config, quant, options);
  const fs::path folder = fs::absolute(file, ignored).parent_path();
  out.shape.id = file.stem() == "config" ? folder.filename().string() : file.stem().string();
  out.shape.source = file.string();
  return out;
}

}  // namespace kvroof
