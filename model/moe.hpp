// Mixture of experts: which experts a batch touches, and the grouped products over them.
#pragma once
#include "model/gemm.hpp"
#include "model/shape.hpp"

namespace kvroof {

/// Distinct experts hit by `tokens` tokens that choose top_k of num_experts independently:
///   E·(1 − (1 − k/E)^tokens)
/// `correlation` r in [0, 1] makes tokens choose alike: B_eff = 1 + (B − 1)(1 − r).
/// An upper bound for real routing at r = 0. Serving facts, section 11; also DeepSeek-V3 tables.
double experts_touched(double num_experts, double top_k, double tokens, double correlation = 0);

/// The part of the experts that one GPU runs.
struct ExpertShard {
  double d_ff = 0;         // width of each one here
  double assignments = 0;  // (token, expert) pairs computed here
  double touched = 0;      // distinct experts among them
};

/// Grouped gate_up (or up) product of the routed experts: each touched expert is one small GEMM of
/// assignments/touched rows, padded to the tile; only touched experts' weights are read.
Work experts_gemm(const ExpertShard& shard, double n, double k, const GemmFormats& formats,
                  const OnChip& chip);

}  // namespace kvroof
