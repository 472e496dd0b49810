#include "model/serving/gaps.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace kvroof::serving {

int Gaps::bin(double seconds) {
  if (!(seconds > 0)) return 0;
  // Exponent and the first seven bits of the mantissa.
  const auto bits = static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(seconds) >> 45);
  const std::int64_t lowest = std::int64_t{kPerOctave} * (1023 + kLowestExponent);
  return static_cast<int>(std::clamp<std::int64_t>(bits - lowest, 0, kPerOctave * kOctaves - 1));
}

double Gaps::lower_edge(int bin) {
  return std::ldexp(1 + (bin % kPerOctave) / static_cast<double>(kPerOctave),
                    bin / kPerOctave + kLowestExponent);
}

void Gaps::count_in(int bin, double count) {
  if (bins_.empty()) bins_.resize(kPerOctave * kOctaves);
  bins_[static_cast<std::size_t>(bin)] += count;
}

void Gaps::add(double seconds, double count) {
  if (count <= 0) return;
  count_in(bin(seconds), count);
  least_ = count_ > 0 ? std::min(least_, seconds) : seconds;
  most_ = std::max(most_, seconds);
  count_ += count, sum_ += count * seconds;
}

void Gaps::add_ramp(double first, double last, std::int64_t steps, double count) {
  if (steps <= 0 || count <= 0) return;
  const auto n = static_cast<double>(steps);
  const double low = std::min(first, last), high = std::max(first, last);
  const int from = bin(low), to = bin(high);
  if (steps == 1 || from == to) {
    count_in(from, n * count);
  } else {
    const double slope = (high - low) / (n - 1);
    double before = 0;  // steps below the upper edge of the bin
    for (int b = from; b <= to; ++b) {
      const double below =
          b == to ? n : std::clamp(std::ceil((lower_edge(b + 1) - low) / slope), before, n);
      count_in(b, (below - before) * count);
      before = below;
    }
  }
  least_ = count_ > 0 ? std::min(least_, low) : low;
  most_ = std::max(most_, high);
  count_ += n * count, sum_ += n * count * (first + last) / 2;
}

void Gaps::merge(const Gaps& o) {
  if (o.count_ <= 0) return;
  for (std::size_t i = 0; i < o.bins_.size(); ++i) count_in(static_cast<int>(i), o.bins_[i]);
  least_ = count_ > 0 ? std::min(least_, o.least_) : o.least_;
  most_ = std::max(most_, o.most_);
  count_ += o.count_, sum_ += o.sum_;
}

double Gaps::percentile(double p) const {
  if (count_ <= 0) return 0;
  const double rank = std::ceil(p * count_);
  double seen = 0;
  for (std::size_t i = 0; i < bins_.size(); ++i)
    if ((seen += bins_[i]) >= rank) {
      const int b = static_cast<int>(i);
      return std::clamp((lower_edge(b) + lower_edge(b + 1)) / 2, least_, most_);
    }
  return most_;
}

}  // namespace kvroof::serving
