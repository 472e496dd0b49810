// What a network holds and what a step reads of it: parameters, weight bytes, KV cache bytes.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "model/shape.hpp"

namespace kvroof {

/// Parameters of one attention block, by matrix.
/// Biases and norms of the projections are in `small`.
///   GQA     qkv = d_model·(h_q·d_qk + h_kv·(d_qk + d_v))               o = h_q·d_v·d_model
///   MLA     qkv = d_model·q_rank + q_rank·h_q·(d_nope + d_rope)
///                 (or d_model·h_q·(…) without q_rank)
///                 + d_model·(d_c + d_rope) + d_c·h_q·(d_nope + d_v)  o = h_q·d_v·d_model
///           with an indexer + q_rank·index_heads·index_dim + d_model·(index_dim + index_heads)
///   linear  qkv = d_model·(2·h_k·d_k + 2·h_v·d_v + 2·h_v)              o = h_v·d_v·d_model
/// DeepSeek-V2 (arXiv:2405.04434) appendix C for the MLA matrices.
struct AttentionParams {
  std::int64_t qkv = 0, o = 0, small = 0;
  std::int64_t total() const { return qkv + o + small; }
};
AttentionParams attention_params(const AttentionKind& attention, int d_model);

/// Parameters of one MLP block: a gated MLP has three matrices d_model x d_ff, a plain one two.
struct MlpParams {
  std::int64_t dense = 0;  // dense MLP or shared experts, biases included
  std::int64_t router = 0;
  std::int64_t per_expert = 0;  // one routed expert
  int num_experts = 0, top_k = 0;
  std::int64_t total() const { return dense + router + num_experts * per_expert; }
  std::int64_t active() const { return dense + router + top_k * per_expert; }
};
MlpParams mlp_params(const MlpKind& mlp, int d_model);

/// Every parameter, stored once: tied embeddings count once.
std::int64_t total_params(const LlmShape& llm);

/// Parameters one token uses: as total_params, of the routed experts only top_k. Embedding and
/// lm_head are counted in full.
std::int64_t active_params(const LlmShape& llm);

/// What one decode step reads of the weights for one token, op by op. The input embedding is
/// gathered, a row a token, and is not listed; lm_head is read in full, tied or not.
struct WeightRead {
  std::string_view op;  // qkv_proj, o_proj, mlp, router, experts, shared_experts, norms, lm_head
  std::int64_t params = 0;
  Dtype format = Dtype::bf16;
  Bytes bytes() const { return Elements{static_cast<double>(params)} * element_size(format); }
};
std::vector<WeightRead> weights_read_per_token(const LlmShape& llm);

/// Memory of all weights, each part in its own format; small vectors (norms, biases, routers) in
/// the format of the embedding.
Bytes weight_bytes(const LlmShape& llm);

/// Elements one layer caches for a token: GQA h_kv·(d_qk + d_v), MLA d_c + d_rope, linear none.
Elements kv_elements_per_token(const AttentionKind& attention);

/// Bytes one layer caches for a token. MLA with fp8_per_token follows FlashMLA's layout: d_c in FP8
/// with one fp32 scale per 128, the rotary part kept in BF16: 512 + 16 + 128 = 656 B. An
/// indexer's keys come on top.
BytesPerToken kv_bytes_per_token(const AttentionKind& attention, Dtype format);

/// Bytes one layer's indexer caches for a token: an FP8 key and its fp32 scale, 128 + 4; 0 without.
Bytes index_token_bytes(const LatentAttention& attention);

/// Bytes one layer keeps for a request however long it is: linear attention's fp32 state and the
/// last conv - 1 tokens of its convolution in BF16.
Bytes state_bytes(const AttentionKind& attention);

/// All layers, as long as no window is full.
BytesPerToken kv_bytes_per_token(const LlmShape& llm, Dtype format);

bool has_experts(const LlmShape& llm);

/// Bytes a request of `context` tokens holds; local layers keep at most their window,
/// linear ones their state.
Bytes kv_bytes(const LlmShape& llm, Dtype format, double context);

}  // namespace kvroof
