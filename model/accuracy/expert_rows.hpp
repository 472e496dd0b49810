// Rows of each expert of one rank, as the MoE tables' benchmark routes its tokens.
#pragma once
#include <vector>

namespace kvroof::accuracy {

/// How tokens choose: every expert as often as the others (exponent 0), or as often as numbers
/// drawn from a power law on [1, 0.8·tokens] say ([0.01, 2] for few tokens). Experts lie on ranks
/// in order, `slots` > 0: on the ranks where a load balancer puts them, the most loaded in several
/// copies. Only the busiest rank is timed.
struct Routing {
  double tokens = 1, top_k = 1, experts = 1, ranks = 1;
  double exponent = 0;
  double slots = 0;
};

/// Rows of the busiest rank's experts, those with none left out; one of the benchmark's draws.
/// The sum over all ranks is tokens·top_k and no expert has more than `tokens`.
///   ai-dynamo/aiconfigurator, collector/helper.py: balanced_logits, power_law_logits_v3
std::vector<double> expert_rows(const Routing& routing, unsigned draw);

}  // namespace kvroof::accuracy
