// What every backward kernel's Case needs: a finished forward pass on the device, a gradient of its
// output, and the check of dQ, dK, dV against the oracle.
#pragma once
#include "kernels/attention_case.hpp"

namespace kvroof::kernels {

/// q, o, d_o, dq [b, h_q, s_q, d]   k, v, dk, dv [b, h_kv, s_kv, d]   bf16 or fp16
/// lse [b, h_q, s_q] fp32
struct BackwardData {
  AttentionData forward;  // q, k, v; o and lse as flash_v2 writes them
  Buffer d_o, dq, dk, dv;
};
BackwardData backward_data(const AttentionShape&, const Args&);

/// Fresh q, k, v and d_o, and the forward pass on them.
void refill(const BackwardData&);

/// P as a forward pass left it on the device, [b, h_q, s_q, pitch] bf16.
struct KeptScores {
  Buffer p;
  std::int64_t pitch = 0;
};

/// Launches on fresh inputs with poisoned outputs; dQ, dK and dV of every K/V head, or of a few of
/// them where all would take the CPU long. A kernel answers for the gradients of what it is given, O
/// or P in bf16: how far these are off is the forward pass's test. Where dP - rowsum(dO ∘ O)
/// cancels, gradients of an exact O differ by more than their own rounding.
Verdict verify_backward(const BackwardData&, const std::function<void(cudaStream_t)>& launch,
                        const std::function<void()>& after_refill = {}, double tolerance = 1e-2,
                        const KeptScores& kept = {});

}  // namespace kvroof::kernels
