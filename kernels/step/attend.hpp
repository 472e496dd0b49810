// The attention of a step: one new token a request over the paged cache, or whole prompts.
#pragma once
#include <functional>

#include "kernels/case.hpp"
#include "kernels/step/network.hpp"

namespace kvroof::kernels::step {

/// launch   from t.q, the layer's cache or t.k_turned and t.qkv's values, to t.attended
/// op       the model's cost of one layer's
struct Attend {
  Op op;
  int kernels = 1;
  std::function<void(const Tensors& t, const Layer& layer, cudaStream_t stream)> launch;
};

/// Split-KV decode over pages; allocates t.partials where it splits. args: splits.
Attend decode_attention(const Network& n, const Args& args, Tensors& t);

/// FlashAttention-3 where it runs, else FlashAttention-2, on the keys as RoPE left them
/// (t.k_turned) and the values inside t.qkv.
Attend prefill_attention(const Network& n);

}  // namespace kvroof::kernels::step
