#include "model/serving/kv_allocation.hpp"

#include <algorithm>
#include <bit>

namespace kvroof::serving {
namespace {

std::int64_t next_pow2(std::int64_t n) {
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n)));
}

std::int64_t round_up(std::int64_t n, std::int64_t block) {
  return (n + block - 1) / block * block;
}

/// Σ over s = first … last of round_up(s, b), block by block.
double sum_of_rounded(std::int64_t first, std::int64_t last, std::int64_t b) {
  double sum = 0;
  for (std::int64_t s = first; s <= last;) {
    const std::int64_t top = round_up(s, b), end = std::min(top, last);
    sum += static_cast<double>(top) * static_cast<double>(end - s + 1);
    s = end + 1;
  }
  return sum;
}

}  // namespace

std::int64_t held_tokens(const AllocationRule& rule, std::int64_t now, std::int64_t final_len) {
  switch (rule.kind) {
    case Allocation::paged:
      return round_up(now, rule.block);
    case Allocation::reserved_max:
      return rule.max_len;
    case Allocation::reserved_exact:
      return final_len;
    case Allocation::buddy:
      return next_pow2(final_len);
  }
  return 0;
}

double useful_fraction(std::span<const Lengths> requests, const AllocationRule& rule) {
  double useful = 0, held = 0;
  for (const Lengths& r : requests) {
    const auto n = static_cast<double>(r.prompt), o = static_cast<double>(r.output);
    useful += o * n + o * (o + 1) / 2;
    const std::int64_t last = r.prompt + r.output;
    held += rule.kind == Allocation::paged ? sum_of_rounded(r.prompt + 1, last, rule.block)
                                           : o * static_cast<double>(held_tokens(rule, last, last));
  }
  return held > 0 ? useful / held : 0;
}

double paged_waste(std::int64_t block) { return static_cast<double>(block - 1) / 2; }

double concurrency_gain(double useful_new, double useful_old) { return useful_new / useful_old; }

std::int64_t max_len_of(std::span<const Lengths> requests) {
  std::int64_t longest = 1;
  for (const Lengths& r : requests) longest = std::max(longest, r.prompt + r.output);
  return next_pow2(longest);
}

}  // namespace kvroof::serving
