// Shapes: the vocabulary of the whole project stands here and is used letter for letter in model,
// kernels, tests, reports and README.
//
//   b         requests                      h_q, h_kv  query heads, K/V heads
//   s_q       new tokens per request        d_qk, d_v  head sizes of Q/K and of V/O
//   s_kv      tokens attended to, the new   d_c        MLA latent (kv_lora_rank)
//             ones included                 d_rope     MLA rotary part
//   n_layers, d_model, d_ff, vocab          GEMM: m, n, k
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "model/dtype.hpp"

namespace kvroof {

/// One attention call over a uniform batch.
///   q [b, h_q, s_q, d_qk]  k [b, h_kv, s_kv, d_qk]  v [b, h_kv, s_kv, d_v]  o [b, h_q, s_q, d_v]
struct AttentionShape {
  double b = 1, s_q = 1, s_kv = 1;
  double h_q = 1, h_kv = 1;
  double d_qk = 128, d_v = 128;
  bool causal = true;  // query i sees keys 0 .. s_kv - s_q + i
  double window = 0;   // 0: all; else the last `window` keys, the query's own included
  constexpr double group() const { return h_q / h_kv; }
  constexpr bool operator==(const AttentionShape&) const = default;
};

// ---- an LLM, layer group by layer group -------------------------------------------------------

/// MHA (h_kv = h_q), GQA or MQA (h_kv = 1); window > 0 makes it a sliding or chunked local layer.
struct GroupedAttention {
  int h_q = 0, h_kv = 0, d_qk = 0, d_v = 0;
  int window = 0;  // tokens kept per request; 0 = all
  bool qkv_bias = false, o_bias = false, qk_norm = false, sinks = false;
  bool output_gate = false;  // o ← o·sigmoid(gate), the gate projected beside q (Qwen3-Next)
  bool operator==(const GroupedAttention&) const = default;
};

/// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): the cache holds d_c + d_rope per
/// token. With index_topk > 0 an indexer of index_heads x index_dim scores the whole past and a
/// token attends to the best index_topk of it (DeepSeek-V3.2); its own cache is FP8.
struct LatentAttention {
  int h_q = 0, d_nope = 0, d_rope = 0, d_v = 0;
  int d_c = 0;     // kv_lora_rank
  int q_rank = 0;  // q_lora_rank; 0 = Q projected directly
  int index_heads = 0, index_dim = 0, index_topk = 0;
  bool operator==(const LatentAttention&) const = default;
};

/// Gated delta rule (Gated DeltaNet, arXiv:2412.06464): each of h_v value heads keeps a state of
/// d_k x d_v instead of a cache; h_k heads of q and k are shared by h_v / h_k of them. q, k and v
/// pass a causal convolution over `conv` tokens; a gate z as wide as v scales the normed output.
struct LinearAttention {
  int h_k = 0, h_v = 0, d_k = 0, d_v = 0;
  int conv = 0;
  int channels() const { return 2 * h_k * d_k + h_v * d_v; }  // of the convolution
  bool operator==(const LinearAttention&) const = default;
};

/// gated: three matrices (SwiGLU, GeGLU); otherwise two.
struct DenseMlp {
  int d_ff = 0;
  bool gated = true, bias = false;
  bool operator==(const DenseMlp&) const = default;
};

/// Each token goes to top_k of num_experts; shared experts see every token.
struct MoeMlp {
  int num_experts = 0, top_k = 0, d_ff_expert = 0;
  int d_ff_shared = 0;  // shared experts together
  bool gated = true, bias = false, router_bias = false;
  bool operator==(const MoeMlp&) const = default;
};

using AttentionKind = std::variant<GroupedAttention, LatentAttention, LinearAttention>;
using MlpKind = std::variant<DenseMlp, MoeMlp>;

/// `count` equal layers. Order among groups does not matter to any count.
struct LayerGroup {
  int count = 0;
  AttentionKind attention;
  MlpKind mlp;
  int norms = 2;           // d_model-sized norms per layer (Gemma-2/3: 4)
  bool norm_bias = false;  // LayerNorm rather than RMSNorm
  bool parallel = false;   // attention and MLP read the same normed input (Falcon)
};

/// A network as its config.json describes it. Weight formats are those of the checkpoint; the
/// serving policy may override them.
struct LlmShape {
  std::string id;            // kebab-case: llama-3.1-70b
  std::string architecture;  // model_type of the config
  int d_model = 0, vocab = 0, max_positions = 0;
  int learned_positions = 0;  // rows of a position table (GPT-2); 0 = rotary
  bool tied_embeddings = false;
  bool final_norm_bias = false;
  std::vector<LayerGroup> layers;
  Dtype weights = Dtype::bf16;            // linear layers of the checkpoint
  Dtype attention_weights = Dtype::bf16;  // differ in gpt-oss (experts MXFP4, the rest BF16)
  Dtype head_weights = Dtype::bf16;       // embedding and lm_head
  std::string source;                     // where the config came from
  int n_layers() const {
    int n = 0;
    for (const LayerGroup& g : layers) n += g.count;
    return n;
  }
};

}  // namespace kvroof
