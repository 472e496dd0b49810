// A running request gives its cache back: it computes it again later, or moves it to the host.
#pragma once
#include "model/units.hpp"

namespace kvroof::serving {

/// Recompute: the prompt and the tokens generated so far become one prefill. Linear layers only;
/// causal attention adds 2·L·h_q·d·s² FLOPs.
///   t = 2·P·s / F_eff                                              vLLM V1's only way
Seconds recompute_time(double params, double tokens, Throughput effective);

/// Swap: out and in again over the host link; it can overlap with other steps.
///   t = 2·s·K_t / BW_host                          PagedAttention (arXiv:2309.06180) section 4.5
Seconds swap_time(BytesPerToken kv, Tokens tokens, Bandwidth host);

/// Swap with one transfer per block and its latency, which is what makes small blocks slow.
Seconds swap_time(BytesPerToken kv, Tokens tokens, Bandwidth host, double block,
                  Seconds per_transfer);

/// No preemption can happen if what all admitted requests hold in the end fits the pool.
bool can_thrash(Tokens final_demand, Tokens pool);

}  // namespace kvroof::serving
