// The transformer, once: what one GPU runs in one step.
#pragma once
#include <vector>

#include "model/load.hpp"
#include "model/lowering.hpp"
#include "model/op.hpp"
#include "model/policy.hpp"
#include "model/shape.hpp"

namespace kvroof {

/// One op per kernel kind of each layer group, `count` = layers; then final norm, lm_head.
/// Sharding:
///   tensor    q heads, d_ff, vocabulary divided; K/V heads divided down to one, then replicated;
///   the MLA
///             latent is whole on every rank; two all-reduces a layer
///   expert    experts divided over tensor·data ranks; dispatch and combine where tokens live
///   elsewhere pipeline  all layers are listed (a token passes every stage); the load is one
///   micro-batch; one
///             send per boundary
///   data      `load` is that of one replica
/// Weights are read once per step whatever the number of tokens; the embedding is gathered, not
/// read.
std::vector<Op> ops(const LlmShape& llm, const Policy& policy, const Lowering& lowering,
                    const StepLoad& load);

/// Why the LLM cannot be cut this way; empty when it can. ("num_attention_heads 64 is not divisible
/// …")
std::string sharding_problem(const LlmShape& llm, const Parallelism& parallel);

}  // namespace kvroof
