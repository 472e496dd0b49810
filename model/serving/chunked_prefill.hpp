// Chunked prefill: a prompt enters in pieces that ride along with the decode tokens of a step.
// Agrawal et al., Sarathi (arXiv:2308.16369) and Sarathi-Serve (arXiv:2403.02310).
#pragma once
#include "model/units.hpp"

namespace kvroof::serving {

/// Tokens per step at which the weights' read time equals their matmul time:
///   τ* = F·b_w / (2·W)               F dense FLOP/s, b_w bytes per weight, W HBM bytes/s
double ridge_tokens(Throughput peak, ElementSize weight, Bandwidth hbm);

/// Prompt tokens a step of B_d decode tokens carries for free:  max(0, τ* − B_d).
double free_chunk(double ridge, double decode_tokens);

/// m = ceil(n/C), the passes over the weights.
double num_chunks(double prompt, double chunk);

/// Cached tokens read by all chunks together; chunk i attends to i·C keys:  C·m·(m + 1)/2.
double kv_reread_tokens(double prompt, double chunk);

/// One hybrid step of T tokens:  max(weights/W, 2·P·T/F) + kv/W + overhead.
struct HybridStep {
  Bytes weights;
  double params = 0;  // used in matmuls per token
  Throughput peak;
  Bandwidth hbm;
  Seconds overhead;
};
Seconds hybrid_step(const HybridStep& s, double tokens, Bytes kv_read);

/// TTFT of a prompt on idle GPUs and the longest gap its chunks put between decode tokens.
struct ChunkedLatency {
  Seconds ttft, tbt;
};
/// `decode_tokens` requests with `decode_kv` bytes of cache run alongside; `kv_per_token` bytes per
/// cached token of the prompt. Each chunk is a step of C + B_d tokens.
ChunkedLatency chunked_latency(const HybridStep& s, double prompt, double chunk,
                               double decode_tokens, Bytes decode_kv, BytesPerToken kv_per_token);

/// Prefill : decode token ratio that keeps every step full of both:  C/(B − 1).
double piggyback_ratio(double chunk, double batch);

}  // namespace kvroof::serving
