#include "model/llm_counts.hpp"

#include <algorithm>

namespace kvroof {
namespace {

std::int64_t norm_params(const LayerGroup& g, int d_model) {
  return std::int64_t{g.norms} * d_model * (g.norm_bias ? 2 : 1);
}

std::int64_t embedding_params(const LlmShape& llm) { return std::int64_t{llm.vocab} * llm.d_model; }

/// Outside the layers: embedding, lm_head unless tied, learned positions, final norm.
std::int64_t outer_params(const LlmShape& llm) {
  const std::int64_t d = llm.d_model;
  return embedding_params(llm) * (llm.tied_embeddings ? 1 : 2) + llm.learned_positions * d +
         d * (llm.final_norm_bias ? 2 : 1);
}

int window(const AttentionKind& attention) {
  const auto* grouped = std::get_if<GroupedAttention>(&attention);
  return grouped ? grouped->window : 0;
}

Bytes bytes_of(std::int64_t params, Dtype format) {
  return Elements{static_cast<double>(params)} * element_size(format);
}

AttentionParams params_of(const GroupedAttention& a, std::int64_t d) {
  const std::int64_t kv_width = std::int64_t{a.h_kv} * (a.d_qk + a.d_v);
  const std::int64_t qkv_width = std::int64_t{a.h_q} * a.d_qk + kv_width;
  const std::int64_t gate = a.output_gate ? std::int64_t{a.h_q} * a.d_v : 0;
  AttentionParams p{.qkv = d * (qkv_width + gate), .o = std::int64_t{a.h_q} * a.d_v * d};
  if (a.qkv_bias) p.small += qkv_width;
  if (a.o_bias) p.small += d;
  if (a.qk_norm) p.small += 2 * a.d_qk;  // one scale per channel, shared by the heads
  if (a.sinks) p.small += a.h_q;
  return p;
}

AttentionParams params_of(const LatentAttention& a, std::int64_t d) {
  const std::int64_t q_width = std::int64_t{a.h_q} * (a.d_nope + a.d_rope);
  const std::int64_t q = a.q_rank ? d * a.q_rank + a.q_rank * q_width : d * q_width;
  const std::int64_t kv =
      d * (a.d_c + a.d_rope) + a.d_c * (std::int64_t{a.h_q} * (a.d_nope + a.d_v));
  // The indexer: queries from q's latent, one key and a weight per head from the hidden state.
  const std::int64_t index =
      std::int64_t{a.q_rank} * a.index_heads * a.index_dim + d * (a.index_dim + a.index_heads);
  return {.qkv = q + kv + index,
          .o = std::int64_t{a.h_q} * a.d_v * d,
          .small = std::int64_t{a.q_rank} + a.d_c + 2 * a.index_dim};  // LayerNorm of index keys
}

AttentionParams params_of(const LinearAttention& a, std::int64_t d) {
  const std::int64_t v_width = std::int64_t{a.h_v} * a.d_v;
  return {.qkv = d * (a.channels() + v_width + 2 * a.h_v),  // q, k, v; z; beta and decay per head
          .o = v_width * d,
          .small = std::int64_t{a.channels()} * a.conv + 2 * a.h_v + a.d_v};
}

}  // namespace

AttentionParams attention_params(const AttentionKind& attention, int d_model) {
  const std::int64_t d = d_model;
  return std::visit([d](const auto& a) { return params_of(a, d); }, attention);
}

MlpParams mlp_params(const MlpKind& mlp, int d_model) {
  const std::int64_t d = d_model;
  const auto block = [d](std::int64_t d_ff, bool gated, bool bias) {
    const int into = gated ? 2 : 1;
    return d * d_ff * (into + 1) + (bias ? into * d_ff + d : 0);
  };
  if (const auto* m = std::get_if<DenseMlp>(&mlp))
    return {.dense = block(m->d_ff, m->gated, m->bias)};
  const auto& m = std::get<MoeMlp>(mlp);
  return {.dense = m.d_ff_shared ? block(m.d_ff_shared, m.gated, false) : 0,
          .router = d * m.num_experts + (m.router_bias ? m.num_experts : 0),
          .per_expert = block(m.d_ff_expert, m.gated, m.bias),
          .num_experts = m.num_experts,
          .top_k = m.top_k};
}

std::int64_t total_params(const LlmShape& llm) {
  std::int64_t sum = outer_params(llm);
  for (const LayerGroup& g : llm.layers)
    sum += g.count * (attention_params(g.attention, llm.d_model).total() +
                      mlp_params(g.mlp, llm.d_model).total() + norm_params(g, llm.d_model));
  return sum;
}

std::int64_t active_params(const LlmShape& llm) {
  std::int64_t sum = outer_params(llm);
  for (const LayerGroup& g : llm.layers)
    sum += g.count * (attention_params(g.attention, llm.d_model).total() +
                      mlp_params(g.mlp, llm.d_model).active() + norm_params(g, llm.d_model));
  return sum;
}

std::vector<WeightRead> weights_read_per_token(const LlmShape& llm) {
  WeightRead qkv{"qkv_proj", 0, llm.attention_weights}, o{"o_proj", 0, llm.attention_weights};
  WeightRead dense{"mlp", 0, llm.weights}, router{"router", 0, llm.head_weights};
  WeightRead experts{"experts", 0, llm.weights}, shared{"shared_experts", 0, llm.weights};
  WeightRead norms{"norms", std::int64_t{llm.d_model} * (llm.final_norm_bias ? 2 : 1),
                   llm.head_weights};
  for (const LayerGroup& g : llm.layers) {
    const AttentionParams a = attention_params(g.attention, llm.d_model);
    const MlpParams m = mlp_params(g.mlp, llm.d_model);
    qkv.params += g.count * a.qkv;
    o.params += g.count * a.o;
    (m.num_experts ? shared : dense).params += g.count * m.dense;
    router.params += g.count * m.router;
    experts.params += g.count * m.top_k * m.per_expert;
    norms.params += g.count * (a.small + norm_params(g, llm.d_model));
  }
  std::vector<WeightRead> all;
  for (const WeightRead& r : {qkv, o, dense, router, experts, shared, norms,
                              WeightRead{"lm_head", embedding_params(llm), llm.head_weights}})
    if (r.params > 0) all.push_back(r);
  return all;
}

Bytes weight_bytes(const LlmShape& llm) {
  Bytes sum = bytes_of(outer_params(llm), llm.head_weights);
  for (const LayerGroup& g : llm.layers) {
    const AttentionParams a = attention_params(g.attention, llm.d_model);
    const MlpParams m = mlp_params(g.mlp, llm.d_model);
    const std::int64_t small = a.small + m.router + norm_params(g, llm.d_model);
    sum +=
        g.count * (bytes_of(a.qkv + a.o, llm.attention_weights) +
                   bytes_of(m.total() - m.router, llm.weights) + bytes_of(small, llm.head_weights));
  }
  return sum;
}

Elements kv_elements_per_token(const AttentionKind& attention) {
  if (const auto* a = std::get_if<GroupedAttention>(&attention))
    return Elements{double(a->h_kv) * (a->d_qk + a->d_v)};
  if (const auto* a = std::get_if<LatentAttention>(&attention))
    return Elements{double(a->d_c + a->d_rope)};
  return {};
}

BytesPerToken kv_bytes_per_token(const AttentionKind& attention, Dtype format) {
  const auto* a = std::get_if<LatentAttention>(&attention);
  if (!a) return kv_elements_per_token(attention) * element_size(format) / Tokens{1};
  const Bytes index = index_token_bytes(*a);
  if (format == Dtype::fp8_per_token)
    return (Elements{double(a->d_c)} * element_size(format) +
            Elements{double(a->d_rope)} * element_size(Dtype::bf16) + index) /
           Tokens{1};
  return (kv_elements_per_token(attention) * element_size(format) + index) / Tokens{1};
}

Bytes index_token_bytes(const LatentAttention& a) {
  return Bytes{a.index_topk > 0 ? a.index_dim + 4.0 : 0.0};
}

Bytes state_bytes(const AttentionKind& attention) {
  const auto* a = std::get_if<LinearAttention>(&attention);
  if (!a) return {};
  return Elements{double(a->h_v) * a->d_k * a->d_v} * element_size(Dtype::fp32) +
         Elements{double(a->channels()) * (a->conv - 1)} * element_size(Dtype::bf16);
}

BytesPerToken kv_bytes_per_token(const LlmShape& llm, Dtype format) {
  BytesPerToken sum;
  for (const LayerGroup& g : llm.layers) sum += g.count * kv_bytes_per_token(g.attention, format);
  return sum;
}

Bytes kv_bytes(const LlmShape& llm, Dtype format, double context) {
  Bytes sum;
  for (const LayerGroup& g : llm.layers) {
    const int w = window(g.attention);
    const Tokens kept{w > 0 ? std::min(context, double(w)) : context};
    sum += g.count * (kv_bytes_per_token(g.attention, format) * kept + state_bytes(g.attention));
  }
  return sum;
}

bool has_experts(const LlmShape& llm) {
  return std::any_of(llm.layers.begin(), llm.layers.end(),
                     [](const LayerGroup& g) { return std::holds_alternative<MoeMlp>(g.mlp); });
}

}  // namespace kvroof
