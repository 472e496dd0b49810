// One rank's share of a network under tensor and expert parallelism.
#pragma once
#include <string>

#include "model/policy.hpp"
#include "model/shape.hpp"

namespace kvroof {

/// The network as one GPU of a tensor-parallel group sees it; pipeline stages are not cut here.
///   h_q, d_ff, vocabulary   divided by the tensor size (vocabulary rounded up)
///   h_kv                    divided down to one head, then replicated
///   MLA                     heads divided; latent projections and the latent cache on every rank
///   experts                 d_ff divided, or with expert parallelism whole experts dealt out over
///                           tensor·data ranks
LlmShape rank_shape(const LlmShape& llm, const Parallelism& parallel);

/// Ranks the experts are dealt out over; 1 where each expert is cut instead.
constexpr int expert_ranks(const Parallelism& p) { return p.expert ? p.tensor * p.data : 1; }

/// Why the network cannot be cut this way; empty when it can. ("num_attention_heads 64 is not
/// divisible by tensor_parallel_size 3")
std::string sharding_problem(const LlmShape& llm, const Parallelism& parallel);

}  // namespace kvroof
