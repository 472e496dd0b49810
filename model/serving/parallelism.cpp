#include "model/serving/parallelism.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace kvroof::serving {
namespace {

using Pmf = std::vector<double>;

/// P(x of the k chosen experts live on a rank holding `here` of E).
Pmf hypergeometric(int num_experts, int here, int k) {
  const auto ln_choose = [](int n, int r) {
    return std::lgamma(n + 1.0) - std::lgamma(r + 1.0) - std::lgamma(n - r + 1.0);
  };
  Pmf p(std::min(k, here) + 1, 0.0);
  for (int x = 0; x < static_cast<int>(p.size()); ++x)
    if (k - x <= num_experts - here)
      p[x] = std::exp(ln_choose(here, x) + ln_choose(num_experts - here, k - x) -
                      ln_choose(num_experts, k));
  return p;
}

Pmf convolve(const Pmf& a, const Pmf& b) {
  Pmf c(a.size() + b.size() - 1, 0.0);
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] > 1e-18)  // the tails of a long sum carry nothing
      for (std::size_t j = 0; j < b.size(); ++j) c[i + j] += a[i] * b[j];
  return c;
}

Pmf sum_of(Pmf one, int terms) {
  Pmf total = {1.0};
  for (; terms > 0; terms /= 2) {
    if (terms % 2) total = convolve(total, one);
    if (terms > 1) one = convolve(one, one);
  }
  return total;
}

}  // namespace

double pipeline_bubble(int stages, int micro_batches) {
  return static_cast<double>(stages - 1) / (micro_batches + stages - 1);
}

Seconds pipelined_token_time(int stages, Bytes weights, Bytes kv_of_micro_batch, Bandwidth hbm) {
  return stages * ((weights / stages + kv_of_micro_batch / stages) / hbm);
}

Bytes expert_bytes_per_token(double top_k, double d_model, ElementSize dispatch,
                             ElementSize combine, int ranks) {
  const Bytes all = Elements{top_k * d_model} * dispatch + Elements{top_k * d_model} * combine;
  return all * (static_cast<double>(ranks - 1) / ranks);
}

double rank_imbalance(int num_experts, int top_k, int ranks, int tokens) {
  if (ranks <= 1 || tokens <= 0) return 1;
  const Pmf load = sum_of(hypergeometric(num_experts, num_experts / ranks, top_k), tokens);
  const double mean = static_cast<double>(tokens) * top_k / ranks;
  double below = 0, expected_max = 0;
  for (const double p : load) {
    below += p;
    expected_max += 1 - std::pow(std::min(1.0, below), ranks);
  }
  const double excess = (expected_max - mean) * std::sqrt(ranks / (ranks - 1.0));
  return 1 + excess / mean;
}

double kv_replication(int tensor, int h_kv) {
  return std::max(1.0, static_cast<double>(tensor) / h_kv);
}

}  // namespace kvroof::serving
