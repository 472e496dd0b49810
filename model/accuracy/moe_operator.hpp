// TensorRT-LLM's fused MoE as its operator tables time it.
#pragma once
#include "model/accuracy/expert_rows.hpp"
#include "model/dtype.hpp"
#include "model/machine.hpp"

namespace kvroof::accuracy {

/// One rank's call.
///   here          tokens the rank is given; it routes, sorts and writes all of them, whether or
///                 not they chose one of its experts
///   hidden, inter width of a token, and of an expert's part on this rank
struct MoeCall {
  Routing routing;
  double here = 1, hidden = 1, inter = 1;
  bool gated = true;
  Dtype weights = Dtype::bf16;
  double routed_experts = 512, routed_top_k = 16;  // most that the library's own top-k takes
};

/// Launch of the graph (which holds one call of each draw), then (moe_kernels.cu, runMoe)
///   route       top-k and softmax: one kernel, or beyond what it takes five of PyTorch's, whose
///               top-k gives each token a thread block (TensorTopK.cu, sbtopk)
///   sort        pairs by expert: one kernel up to 256 tokens, else three
///   convert     tokens to a narrow format (Hopper's block scales: with the expansion)
///   expand      tokens to rows of their experts        describe  the tensor maps, from Hopper on
///   products    each expert's rows rounded up to whole tiles, of experts that have any
///   activate    between the products                   finalise  the weighted sum of each token
/// Every pass moves its bytes through HBM: see pass_time.
Seconds moe_operator_time(const MoeCall& call, const Machine& machine);

}  // namespace kvroof::accuracy
