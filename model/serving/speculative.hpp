// Speculative decoding: cheap guesses for the next g tokens, checked by the target in one step.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "model/units.hpp"

namespace kvroof::serving {

/// Tokens per step when each guess is right with probability a, independently:
///   E = (1 − a^(g+1)) / (1 − a)              Leviathan et al. 2023 (arXiv:2211.17192) eq. 1
double expected_tokens(double acceptance, int guesses);

/// The same with a probability for each position:  1 + Σ_k Π_{i ≤ k} a_i.
double expected_tokens(std::span<const double> acceptance);

/// The acceptance that gives `tokens` per step with g guesses; inverse of the first formula.
double acceptance_from_tokens(double tokens, int guesses);

/// E/(g·c + 1), c = draft time per token over target step time (theorem 3.8).
double speedup(double acceptance, int guesses, double draft_cost);

/// A gain is possible iff a > c (corollary 3.9); then it is at least (1 + a)/(1 + c).
constexpr double break_even_acceptance(double draft_cost) { return draft_cost; }
constexpr double least_speedup(double acceptance, double draft_cost) {
  return (1 + acceptance) / (1 + draft_cost);
}

struct BestGuesses {
  int guesses = 0;
  double speedup = 1;
};
/// g with the highest speedup; 0 and 1 when speculation cannot gain.
BestGuesses best_guesses(double acceptance, double draft_cost, int most = 64);

/// Speedup at a batch: a step of B requests verifies B·(g + 1) tokens.
///   S(B) = E·t(B, 1) / (g·t_draft(B) + t(B, g + 1))
using VerifyTime = std::function<Seconds(double batch, double tokens_per_request)>;
double batch_speedup(double acceptance, int guesses, double batch, const VerifyTime& target,
                     const std::function<Seconds(double batch)>& draft);

/// Largest batch (power-of-two steps, then bisection) at which speculation still gains; 0: never.
int largest_gaining_batch(double acceptance, int guesses, const VerifyTime& target,
                          const std::function<Seconds(double batch)>& draft, int most = 4096);

/// Acceptance below which speculation with g guesses slows the service down at this batch, by
/// bisection on batch_speedup = 1; above 1 when nothing helps.
double break_even_at_batch(int guesses, double batch, const VerifyTime& target,
                           const std::function<Seconds(double batch)>& draft);

/// A node of a token tree: the acceptance of its token given its parent's, and its parent's index
/// (−1: the last accepted token). Parents come before children.
struct TreeNode {
  double acceptance = 0;
  int parent = -1;
};
/// Tokens per step of a tree, one path accepted:  1 + Σ over nodes of the product on their path.
/// Medusa (Cai et al., arXiv:2401.10774) section 2.1, EAGLE-2 (arXiv:2406.16858).
double tree_tokens(std::span<const TreeNode> tree);

/// Cartesian tree of Medusa: `accuracy[d][i]` is head d's probability that
/// its i-th choice is right.
std::vector<TreeNode> medusa_tree(const std::vector<std::vector<double>>& accuracy);

/// Ways to guess: what a draft token costs in target steps, and what else it takes.
///   draft model        t_draft/t_target; its weights and cache share the memory
///   Medusa             0: the heads run with the target's step; the tree widens it
///   EAGLE, MTP         (one layer + lm_head) / target parameters; the lm_head dominates
///   self-speculative   share of the layers kept (arXiv:2309.08168, 2404.16710); no extra weights
///   n-gram look-up     0
constexpr double eagle_draft_cost(double layer_params, double lm_head_params,
                                  double target_params) {
  return (layer_params + lm_head_params) / target_params;
}
constexpr double self_speculative_draft_cost(double layers_kept, double n_layers) {
  return layers_kept / n_layers;
}

/// EAGLE with `depth` draft passes and a tree whose verification takes `verify_over_step` plain
/// steps:  S = τ/(depth·c + t_v/t_1), τ tokens per step.
double tree_speedup(double tokens, int depth, double draft_cost, double verify_over_step);

/// What a speculative step costs in plain steps, from published figures: accepted length/speedup.
constexpr double implied_step_cost(double accepted_length, double speedup) {
  return accepted_length / speedup;
}

/// Weight bytes of a MoE verify step over a plain one: g + 1 tokens touch more experts.
///   (dense + w·E(B·(g+1))) / (dense + w·E(B)),  E(T) = experts_touched (model/moe.hpp)
double moe_verify_penalty(double num_experts, double top_k, double batch, int guesses, Bytes dense,
                          Bytes per_expert);

}  // namespace kvroof::serving
