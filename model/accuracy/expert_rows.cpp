#include "model/accuracy/expert_rows.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "model/serving/rng.hpp"

namespace kvroof::accuracy {
namespace {

using Loads = std::vector<double>;

double sum(const Loads& x) { return std::accumulate(x.begin(), x.end(), 0.0); }

/// Numbers between low and high whose density falls as x^-exponent.
Loads power_law(std::size_t n, double exponent, double low, double high, serving::Rng& rng) {
  const double e = 1 - exponent, a = std::pow(low, e), b = std::pow(high, e);
  Loads out(n);
  for (double& x : out) {
    const double u = rng.uniform();
    x = e == 0 ? low * std::pow(high / low, u) : std::pow((b - a) * u + a, 1 / e);
  }
  return out;
}

/// Adds `amount` rows to a rank's experts, each to the least loaded, none above `most`: the low
/// ones rise to one level, and some of them one row further.
void fill(Loads::iterator first, Loads::iterator last, double amount, double most) {
  Loads sorted(first, last);
  std::sort(sorted.begin(), sorted.end());
  double level = sorted.front(), left = amount;
  for (std::size_t i = 0; i < sorted.size() && left > 0; ++i) {
    const double under = static_cast<double>(i) + 1;
    const double next = i + 1 < sorted.size() ? sorted[i + 1] : most;
    const double step = std::min(next - level, left / under);
    level += step, left -= step * under;
  }
  level = std::floor(level);
  for (auto it = first; it != last; ++it)
    if (*it < level) amount -= level - *it, *it = level;
  for (auto it = first; it != last && amount >= 1; ++it)
    if (*it == level && level < most) ++*it, --amount;
}

/// Takes `amount` rows from the most loaded ones, likewise.
void drain(Loads::iterator first, Loads::iterator last, double amount) {
  Loads mirrored(first, last);
  for (double& x : mirrored) x = -x;
  fill(mirrored.begin(), mirrored.end(), amount, 0);
  std::transform(mirrored.begin(), mirrored.end(), first, [](double x) { return -x; });
}

Loads drawn(const Routing& r, serving::Rng& rng) {
  const auto n = static_cast<std::size_t>(r.experts);
  const double pairs = r.tokens * r.top_k;
  Loads loads = pairs > r.experts ? power_law(n, r.exponent, 1, 0.8 * r.tokens, rng)
                                  : power_law(n, r.exponent, 0.01, 2, rng);
  const double scale = pairs / sum(loads);
  for (double& x : loads) x = std::min(std::round(scale * x), r.tokens);
  const double missing = pairs - sum(loads);
  const auto step = static_cast<std::ptrdiff_t>(r.experts / r.ranks);
  double rank = 0;
  for (auto it = loads.begin(); step > 0 && loads.end() - it >= step; it += step, ++rank) {
    const double share = std::ceil((std::abs(missing) - rank) / r.ranks);  // dealt out in turn
    if (missing > 0) fill(it, it + step, share, r.tokens);
    else drain(it, it + step, share);
  }
  return loads;
}

Loads busiest(const std::vector<Loads>& ranks) {
  return *std::max_element(ranks.begin(), ranks.end(),
                           [](const Loads& a, const Loads& b) { return sum(a) < sum(b); });
}

std::vector<Loads> in_order(const Loads& loads, double ranks) {
  std::vector<Loads> out;
  const auto step = static_cast<std::ptrdiff_t>(static_cast<double>(loads.size()) / ranks);
  for (auto it = loads.begin(); step > 0 && loads.end() - it >= step; it += step)
    out.emplace_back(it, it + step);
  return out;
}

/// The most loaded expert gets another copy until all slots are taken; then slots go, the most
/// loaded first, to the least loaded rank with room.
std::vector<Loads> balanced(const Loads& loads, const Routing& r) {
  std::vector<std::pair<double, double>> shared;  // load of a copy, copies
  for (double x : loads) shared.emplace_back(x, 1);
  for (double i = r.experts; i < r.slots; ++i) {
    auto& [load, copies] = *std::max_element(shared.begin(), shared.end());
    load *= copies / (copies + 1), ++copies;
  }
  Loads slots;
  for (const auto& [load, copies] : shared)
    slots.insert(slots.end(), static_cast<std::size_t>(copies), load);
  std::sort(slots.rbegin(), slots.rend());
  std::vector<Loads> ranks(static_cast<std::size_t>(r.ranks));
  std::vector<double> totals(ranks.size());
  const auto room = static_cast<std::size_t>(r.slots / r.ranks);
  for (double x : slots) {
    std::size_t best = ranks.size();
    for (std::size_t i = 0; i < ranks.size(); ++i)
      if (ranks[i].size() < room && (best == ranks.size() || totals[i] < totals[best])) best = i;
    if (best == ranks.size()) break;
    ranks[best].push_back(x), totals[best] += x;
  }
  return ranks;
}

}  // namespace

std::vector<double> expert_rows(const Routing& r, unsigned draw) {
  Loads rows;
  if (r.exponent <= 0) {
    const double experts = r.experts / r.ranks, pairs = r.tokens * r.top_k / r.ranks;
    const double touched = std::max(1.0, std::min(experts, std::floor(pairs)));
    rows.assign(static_cast<std::size_t>(touched), pairs / touched);
    return rows;
  }
  serving::Rng rng(draw + 1);
  const Loads loads = drawn(r, rng);
  for (double x : busiest(r.slots > 0 ? balanced(loads, r) : in_order(loads, r.ranks)))
    if (x > 0) rows.push_back(x);
  return rows;
}

}  // namespace kvroof::accuracy
