// One decode step of a dense transformer, from the first norm to the last: hundreds of small
// kernels, to be launched one by one or as a CUDA graph.
//
//   per layer  x [b, d_model] -> norm -> qkv -> rope, append -> attention over the paged cache
//              -> o_proj -> + residual, norm -> gate_up -> swiglu -> down
//   then a last norm and, if `vocab` is given, lm_head. Left out: the embedding's gather, sampling.
#pragma once
#include <vector>

#include "kernels/case.hpp"

namespace kvroof::kernels {

/// The ops of one step in the order of its kernels, `count` = layers, each with the work the model
/// gives it for the tile that runs; and the step itself as a Case.
///   b, s_kv (1024), layers (16), d_model (2048), h_q (32), h_kv (8), d (64), d_ff (8192): the
///   defaults are Llama-3.2-1B's; vocab 0: no lm_head; fused 0: norms, RoPE and SwiGLU as two
///   kernels each
/// order: of each kernel of a launch, the op it belongs to.
struct DecodeStep {
  std::vector<Op> ops;
  std::vector<std::size_t> order;
  Case step;
};
DecodeStep decode_step(const Args&);

Entry decode_step_entry();

}  // namespace kvroof::kernels
