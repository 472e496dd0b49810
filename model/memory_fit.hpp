// Does it fit: weights, activations, graphs and the KV pool of the fullest GPU against its memory.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "model/engine.hpp"
#include "model/machine.hpp"
#include "model/policy.hpp"
#include "model/shape.hpp"

namespace kvroof {

/// What the job asks of the cache: requests in flight and the tokens each one reaches.
struct Demand {
  double requests = 1;
  double tokens_per_request = 1;
};

/// Memory of the fullest GPU (with pipeline stages: the one with most layers). Bytes per GPU.
///   pool        = usable − weights − activations − graphs − context
///   pool_tokens = whole blocks of block_size tokens the pool holds; with window layers, tokens of
///                 requests of `tokens_per_request` each
struct MemoryFit {
  Bytes capacity, usable, weights, activations, graphs, context, pool;
  BytesPerToken kv_per_token;  // of the whole LLM over all its GPUs, no window full
  Bytes state_per_request;     // likewise: what linear layers keep however long a request is
  Bytes kv_per_request;        // one GPU's share of one request at tokens_per_request, whole blocks
  double blocks = 0, blocks_needed = 0;
  Tokens pool_tokens;
  double tokens_per_request = 0;
  double max_concurrency = 0;  // requests of tokens_per_request that the pool holds
  bool fits = false;
  std::string reason;                  // why not
  std::vector<std::string> would_fit;  // changes that make it fit, each checked
};

/// `weights_format`, `kv` and sharding from the policy. Activations are an estimate: the widest
/// layer's live tensors for max_num_batched_tokens,
/// and FP32 logits with their softmax for max_num_seqs.
MemoryFit memory_fit(const LlmShape& llm, const Policy& policy, const EngineTraits& engine,
                     const Machine& machine, const Demand& demand);

/// The fraction that this engine's rule is about, and the key that sets it; the three are different
/// quantities.
struct MemoryShare {
  std::string_view key;
  double share;
};
MemoryShare memory_share(const Policy& policy, const EngineTraits& engine);

/// Weight bytes of one GPU under the policy's formats and sharding.
Bytes weight_bytes_per_gpu(const LlmShape& llm, const Policy& policy);

/// Cache bytes of one request of `tokens` tokens on one GPU, rounded up to whole blocks.
Bytes kv_bytes_per_gpu(const LlmShape& llm, const Policy& policy, double tokens);

}  // namespace kvroof
