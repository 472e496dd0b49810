// Distribution of the gaps between the tokens (or speculative chunks) a request's user sees.
#pragma once
#include <cstdint>
#include <vector>

namespace kvroof::serving {

/// Counts in 128 bins an octave, 0.5 % wide, from 1 us to 4.7 h: memory does not grow with the
/// tokens. Percentiles are the middle of their bin, the mean and the extremes are exact.
class Gaps {
 public:
  /// `count` gaps of this length.
  void add(double seconds, double count);
  /// `steps` gaps whose lengths go evenly from first to last, each seen by `count` requests. The
  /// cost is one visit a bin, however many the steps.
  void add_ramp(double first, double last, std::int64_t steps, double count);
  void merge(const Gaps& other);

  double count() const { return count_; }
  double mean() const { return count_ > 0 ? sum_ / count_ : 0; }
  double most() const { return count_ > 0 ? most_ : 0; }
  double percentile(double p) const;  // 0 < p <= 1, by nearest rank

 private:
  static constexpr int kPerOctave = 128, kLowestExponent = -20, kOctaves = 34;
  static int bin(double seconds);
  static double lower_edge(int bin);
  void count_in(int bin, double count);

  std::vector<double> bins_;  // empty until the first gap
  double count_ = 0, sum_ = 0, least_ = 0, most_ = 0;
};

}  // namespace kvroof::serving
