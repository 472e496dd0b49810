// What cutting a network over GPUs costs a service: bubbles, expert traffic, uneven experts.
#pragma once
#include "model/units.hpp"

namespace kvroof::serving {

/// Idle share of p pipeline stages with m micro-batches:  (p − 1)/(m + p − 1).
double pipeline_bubble(int stages, int micro_batches);

/// Time of one token of B requests through p stages with p micro-batches in flight: every stage
/// reads its weights for each micro-batch, so pipelining does not save weight traffic:
///   p · (weights/p + kv/p) / W = (weights + kv of one micro-batch) / W
Seconds pipelined_token_time(int stages, Bytes weights, Bytes kv_of_micro_batch, Bandwidth hbm);

/// Bytes a token sends in one MoE layer: dispatch k·H·b_dispatch and combine k·H·b_combine, the
/// share (R − 1)/R of it to other ranks. DeepSeek-V3 (arXiv:2412.19437) section 3.2.
Bytes expert_bytes_per_token(double top_k, double d_model, ElementSize dispatch,
                             ElementSize combine, int ranks);

/// Fullest rank over the mean with T tokens on R ranks, uniform independent routing. Tokens on one
/// rank are a sum of T hypergeometric draws (k of E, E/R of them here); the maximum of R such sums,
///   E[max] = Σ_x (1 − F(x)^R),
/// its excess over the mean times √(R/(R − 1)) since the ranks' loads add up to a constant.
double rank_imbalance(int num_experts, int top_k, int ranks, int tokens);

/// Copies of each KV head when tp ranks exceed them: the cache grows by this factor.
double kv_replication(int tensor, int h_kv);

}  // namespace kvroof::serving
