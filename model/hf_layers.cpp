#include "model/hf_layers.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace kvroof::hf {
namespace {

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
                           .q_rank = c.get("q_lora_rank", kInner, 0),
                           .index_heads = c.get("index_n_heads", kHeads, 0),
                           .index_dim = c.get("index_head_dim", kHeadDim, 0),
                           .index_topk = c.get("index_topk", kPositions, 0)};
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
  return GroupedAttention{
      .h_q = h_q,
      .h_kv = h_kv,
      .d_qk = d,
      .d_v = d,
      .qkv_bias = biased || a.qkv_bias || bias,
      // Qwen2's and GLM-4.5's attention_bias names their qkv bias; o_proj has none.
      .o_bias = biased || (bias && a.model_type != "qwen2" && a.model_type != "glm4_moe"),
      .qk_norm = a.qk_norm || c.flag("use_qk_norm", false),
      .sinks = a.model_type == "gpt_oss",
      .output_gate = a.hybrid && c.flag("attn_output_gate", true)};
}

LinearAttention linear_attention_of(Config& c) {
  return {.h_k = c.need({"linear_num_key_heads"}, kHeads),
          .h_v = c.need({"linear_num_value_heads"}, kHeads),
          .d_k = c.need({"linear_key_head_dim"}, kHeadDim),
          .d_v = c.need({"linear_value_head_dim"}, kHeadDim),
          .conv = c.need({"linear_conv_kernel_dim"}, kHeadDim)};
}

/// Whether layer i keeps a state instead of a cache.
bool is_linear(Config& c, const Architecture& a, int i, const Node* layer_types) {
  if (!a.hybrid) return false;
  if (layer_types)
    return layer_types->items[static_cast<std::size_t>(i)].text == "linear_attention";
  return (i + 1) % c.get("full_attention_interval", kLayers, 4, 1) != 0;
}

bool contains(const Node* list, int value) {
  return list && std::any_of(list->items.begin(), list->items.end(),
                             [&](const Node& n) { return whole(n, 0, kLayers.max) == value; });
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
  if (a.model_type == "mixtral" || a.model_type == "gpt_oss" || a.model_type == "minimax_m2") {
    const bool gpt_oss = a.model_type == "gpt_oss";
    return MoeMlp{.num_experts = c.need({"num_local_experts"}, kExperts),
                  .top_k = c.need({"num_experts_per_tok", "experts_per_token"}, kExperts),
                  .d_ff_expert = c.need({"intermediate_size"}, kInner),
                  .bias = gpt_oss,
                  .router_bias = a.model_type != "mixtral"};
  }
  if (a.model_type == "qwen3_moe" || (a.hybrid && c.has("num_experts"))) {
    // intermediate_size is unused but for the layers kept dense.
    const bool dense = contains(c.list("mlp_only_layers"), i) ||
                       (i + 1) % c.get("decoder_sparse_step", kLayers, 1, 1) != 0;
    if (dense) return dense_mlp(c, a);
    return MoeMlp{.num_experts = c.need({"num_experts"}, kExperts),
                  .top_k = c.need({"num_experts_per_tok"}, kExperts),
                  .d_ff_expert = c.need({"moe_intermediate_size"}, kInner),
                  .d_ff_shared = c.get("shared_expert_intermediate_size", kInner, 0)};
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

}  // namespace

const Architecture* find_architecture(std::string_view model_type) {
  for (const Architecture& a : kArchitectures)
    if (a.model_type == model_type) return &a;
  return nullptr;
}
void read_layers(Config& c, const Architecture& a, int n_layers, LlmShape& s) {
  const Node* layer_types = c.list("layer_types");
  if (layer_types && static_cast<int>(layer_types->items.size()) != n_layers) {
    c.refuse("layer_types", fmt::format("expected one entry for each of the {} layers, got {}",
                                        n_layers, layer_types->items.size()));
    layer_types = nullptr;
  }
  std::vector<std::string_view> kinds{"full_attention", "sliding_attention", "chunked_attention"};
  if (a.hybrid) kinds = {"full_attention", "linear_attention"};
  if (layer_types)
    for (const Node& n : layer_types->items)
      if (std::find(kinds.begin(), kinds.end(), n.text) == kinds.end())
        return c.refuse("layer_types",
                        fmt::format("expected {}, got {}", fmt::join(kinds, " or "), described(n)));
  const bool layer_norm = a.model_type == "falcon" || a.plain;
  const bool parallel =
      a.model_type == "gptj" || (a.model_type == "falcon" && c.flag("parallel_attn", true));
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
    if (is_linear(c, a, i, layer_types)) layer.attention = linear_attention_of(c);
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
}  // namespace kvroof::hf
