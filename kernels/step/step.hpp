// One step of a dense transformer, from the first norm to the last: hundreds of small kernels, to
// be launched one by one or as a CUDA graph. A decode step takes one new token of each request, a
// prefill step whole prompts.
//
//   per layer  x [tokens, d_model] -> norm -> qkv -> rope, append -> attention over the paged
//              cache, or over the prompts -> o_proj -> + residual, norm
//              -> gate_up -> swiglu -> down
//   then       a last norm and, if `vocab` is given, lm_head on each request's last token
// Left out: the embedding's gather, sampling.
#pragma once
#include <vector>

#include "kernels/case.hpp"

namespace kvroof::kernels {

/// ops     of one step in the order of its kernels, `count` = layers, each with the work the model
///         gives it for the tile that runs
/// order   of each kernel of a launch, the op it belongs to
/// whole   the step as a Case
struct Step {
  std::vector<Op> ops;
  std::vector<std::size_t> order;
  Case whole;
};

/// b, s_kv (1024), layers (16), d_model (2048), h_q (32), h_kv (8), d (64), d_ff (8192): the
/// defaults are Llama-3.2-1B's; vocab 0: no lm_head; fused 0: norms, RoPE and SwiGLU as two kernels
/// each. Prefill turns and appends in two kernels either way.
Step decode_step(const Args&);
Step prefill_step(Args);

Entry decode_step_entry();
Entry prefill_step_entry();

}  // namespace kvroof::kernels
