// A dense transformer's shape and its tensors on the device, for one step.
#pragma once
#include <cuda_bf16.h>

#include <cstddef>
#include <vector>

#include "kernels/case.hpp"
#include "kernels/device.hpp"

namespace kvroof::kernels::step {

using bf16 = __nv_bfloat16;
inline constexpr int kPage = 16;
inline constexpr float kEpsilon = 1e-5f;
inline constexpr double kTheta = 5e5;  // Llama 3

/// Each request brings s_q new tokens, the last ones of s_kv: 1 in a decode step, all of them in a
/// prefill. vocab 0: the step ends with the last norm, without lm_head.
struct Network {
  int b, s_q, s_kv, layers, d_model, h_q, h_kv, d, d_ff, vocab;
  bool fused;
  bool prefill() const { return s_q > 1; }
  int tokens() const { return b * s_q; }
  int qkv() const { return (h_q + 2 * h_kv) * d; }
  int pages() const { return (s_kv + kPage - 1) / kPage; }  // per request
  std::size_t cache_elements() const {
    return static_cast<std::size_t>(b) * static_cast<std::size_t>(pages()) *
           static_cast<std::size_t>(h_kv * kPage * d);
  }
};

/// Throws std::invalid_argument for new tokens behind cached ones, unless it is one.
Network network(const Args& args);

struct Layer {
  Buffer norm1, norm2, qkv, o, gate_up, down, k_cache, v_cache;
};

/// Weights, caches and activations of a step on the device; `sums` take turns as residual stream.
struct Tensors {
  std::vector<Layer> layers;
  Buffer last_norm, x, sums[2], y, qkv, q, k_turned, attended, projected, gate_up, silu, act, down;
  Buffer lm_head, logits;
  Buffer table, lengths, positions, slots, turns, partials, ticket;
  std::vector<int> host_table, host_slots;
};

Tensors tensors(const Network& n);

/// Fresh random weights, caches and input.
void fill(const Network& n, const Tensors& t);

}  // namespace kvroof::kernels::step
