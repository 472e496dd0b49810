#include "model/serving/speculative.hpp"

#include <algorithm>
#include <cmath>

#include "model/moe.hpp"

namespace kvroof::serving {

double expected_tokens(double acceptance, int guesses) {
  if (acceptance >= 1) return guesses + 1;
  return (1 - std::pow(acceptance, guesses + 1)) / (1 - acceptance);
}

double expected_tokens(std::span<const double> acceptance) {
  double tokens = 1, path = 1;
  for (const double a : acceptance) tokens += path *= a;
  return tokens;
}

double acceptance_from_tokens(double tokens, int guesses) {
  if (tokens <= 1) return 0;
  if (tokens >= guesses + 1) return 1;
  double low = 0, high = 1;
  for (int i = 0; i < 60; ++i) {
    const double mid = (low + high) / 2;
    (expected_tokens(mid, guesses) < tokens ? low : high) = mid;
  }
  return (low + high) / 2;
}

double speedup(double acceptance, int guesses, double draft_cost) {
  return expected_tokens(acceptance, guesses) / (guesses * draft_cost + 1);
}

BestGuesses best_guesses(double acceptance, double draft_cost, int most) {
  BestGuesses best;
  for (int g = 1; g <= most; ++g)
    if (const double s = speedup(acceptance, g, draft_cost); s > best.speedup) best = {g, s};
  return best;
}

double batch_speedup(double acceptance, int guesses, double batch, const VerifyTime& target,
                     const std::function<Seconds(double)>& draft) {
  const Seconds plain = target(batch, 1);
  const Seconds step = guesses * draft(batch) + target(batch, guesses + 1);
  return expected_tokens(acceptance, guesses) * (plain / step);
}

int largest_gaining_batch(double acceptance, int guesses, const VerifyTime& target,
                          const std::function<Seconds(double)>& draft, int most) {
  const auto gains = [&](int b) {
    return batch_speedup(acceptance, guesses, b, target, draft) > 1;
  };
  if (!gains(1)) return 0;
  int low = 1, high = 2;
  while (high <= most && gains(high)) low = high, high *= 2;
  if (high > most) return gains(most) ? most : low;
  while (high - low > 1) {
    const int mid = (low + high) / 2;
    (gains(mid) ? low : high) = mid;
  }
  return low;
}

double break_even_at_batch(int guesses, double batch, const VerifyTime& target,
                           const std::function<Seconds(double)>& draft) {
  const Seconds step = guesses * draft(batch) + target(batch, guesses + 1);
  const double tokens = step / target(batch, 1);  // E needed for a speedup of 1
  return tokens > guesses + 1 ? tokens / (guesses + 1) : acceptance_from_tokens(tokens, guesses);
}

double tree_tokens(std::span<const TreeNode> tree) {
  std::vector<double> path(tree.size());
  double tokens = 1;
  for (std::size_t i = 0; i < tree.size(); ++i) {
    path[i] = tree[i].acceptance * (tree[i].parent < 0 ? 1 : path[tree[i].parent]);
    tokens += path[i];
  }
  return tokens;
}

std::vector<TreeNode> medusa_tree(const std::vector<std::vector<double>>& accuracy) {
  std::vector<TreeNode> tree;
  std::vector<int> parents = {-1};
  for (const std::vector<double>& head : accuracy) {
    std::vector<int> level;
    for (const int parent : parents)
      for (const double a : head) {
        level.push_back(static_cast<int>(tree.size()));
        tree.push_back({a, parent});
      }
    parents = std::move(level);
  }
  return tree;
}

double tree_speedup(double tokens, int depth, double draft_cost, double verify_over_step) {
  return tokens / (depth * draft_cost + verify_over_step);
}

double moe_verify_penalty(double num_experts, double top_k, double batch, int guesses, Bytes dense,
                          Bytes per_expert) {
  const Bytes plain = dense + experts_touched(num_experts, top_k, batch) * per_expert;
  const Bytes verify =
      dense + experts_touched(num_experts, top_k, batch * (guesses + 1)) * per_expert;
  return verify / plain;
}

}  // namespace kvroof::serving
