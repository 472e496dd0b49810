// What every attention kernel's Case needs: inputs on the device in a stated layout, and the check
// against the oracle. Names of the arguments: b s_q s_kv h_q h_kv d causal window sinks sigma.
#pragma once
#include <cstdint>
#include <optional>

#include "kernels/case.hpp"
#include "kernels/data.hpp"
#include "kernels/reference.hpp"
#include "model/shape.hpp"

namespace kvroof::kernels {

AttentionShape attention_shape(const Args&);

/// One call: its buffers and, for the oracle, its layouts and masks.
struct AttentionData {
  reference::Attention call;  // b ... scale, masks, q_rows, k_rows, v_rows; q, k, v stay empty
  reference::Rows o_rows;
  Buffer q, k, v, o;
  Dtype dtype = Dtype::bf16;                // of these: bf16, or fp16 for kernels that take it
  Buffer lse;                               // fp32, natural logarithm; empty: not checked
  bool lse_token_major = false;             // [b, s_q, h_q] instead of [b, h_q, s_q]
  std::optional<reference::Rows> lse_rows;  // any other layout of lse
  /// What hides keys of one (request, head) alone: sets tree or block_mask of a copy of `call`.
  std::function<void(reference::Attention&, std::int64_t request, std::int64_t head)> mask_of;
  /// What the oracle takes for k and v where they are not bf16.
  std::function<std::vector<float>()> k_values, v_values;
  float sigma = 1;  // of q: large values make a few keys win
};

/// q, o [b, h_q, s_q, d]   k, v [b, h_kv, s_kv, d]   lse [b, h_q, s_q]
AttentionData head_major_data(const AttentionShape&, const Args&);
/// q, o [b, s_q, h_q, d]   k, v [b, h_kv, s_kv, d]   lse [b, s_q, h_q]: what decode kernels take
AttentionData decode_data(const AttentionShape&, const Args&);

/// Fills q, k, v with fresh normal values.
void refill(const AttentionData&);

/// Launches on fresh inputs with poisoned outputs and compares o (and lse) with the oracle: all
/// rows of small calls, a random choice of rows of large ones.
Verdict verify_attention(const AttentionData&, const std::function<void(cudaStream_t)>& launch,
                         double tolerance = 1e-2, bool refill_inputs = true);

/// "b4 h32/8 s1/8192 d128 causal"
std::string shape_name(const AttentionShape&);

}  // namespace kvroof::kernels
