// What is kept of a sweep: counts, ranges, histograms, marginals, the best points and Pareto
// fronts. Nothing depends on the order in which points come,
// so threads and shards cannot change it.
#pragma once
#include <string>
#include <vector>

#include "model/sweep/columns.hpp"
#include "model/sweep/grid.hpp"

namespace kvroof::sweep {

struct Entry {
  std::int64_t point = 0;
  std::array<double, kNumColumns> values{};
  double operator[](Column c) const { return values[static_cast<std::size_t>(c)]; }
};

/// Smaller is better whatever the column; ties go to the smaller point.
double badness(const Entry& e, Column c);
bool better(const Entry& a, const Entry& b, Column by);

/// The k best.
class Top {
 public:
  Top(std::size_t k, Column by) : k_(k), by_(by) {}
  bool admits(double badness) const { return heap_.size() < k_ || badness <= worst_; }
  void add(const Entry& e);
  std::vector<Entry> sorted() const;  // best first

 private:
  std::size_t k_;
  Column by_;
  double worst_ = 0;
  std::vector<Entry> heap_;
};

/// Points that no other beats in both columns; of equal ones the smallest point.
class Front {
 public:
  Front(Column x, Column y) : x_(x), y_(y) {}
  bool admits(double bad_x, double bad_y) const;
  void add(const Entry& e);
  const std::vector<Entry>& entries() const { return entries_; }  // best x first

 private:
  std::vector<Entry>::const_iterator first_not_better(double bad_x) const;
  Column x_, y_;
  std::vector<Entry> entries_;  // x gets worse, y better
};

/// Counts in 8 bins an octave from 2^-40 to 2^40; the outermost bins take what is beyond.
struct Histogram {
  static constexpr int kLowestExponent = -40, kOctaves = 80, kBins = 8 * kOctaves;
  std::vector<std::int64_t> counts = std::vector<std::int64_t>(kBins);
  static int bin(double v);
  static double lower_edge(int bin);
  void add(double v) { ++counts[static_cast<std::size_t>(bin(v))]; }
};

/// Of one value of one axis.
struct Marginal {
  std::int64_t points = 0, kept = 0;
  Entry best;  // valid when kept > 0
};

/// Limits in seconds; infinity: none.
struct Objective {
  double ttft, tpot;
};

struct Reduction {
  Column by = Column::usd;
  std::size_t top = 100;
  Column pareto_x = Column::rate_per_user, pareto_y = Column::output_rate_per_gpu;
  std::string per;  // axis that gets a front for each of its values; empty: one front
  Objective slo{};
};

/// Everything kept of a range of points.
class Kept {
 public:
  Kept(const Grid& grid, const Reduction& how);

  struct Counts {
    std::int64_t points = 0, impossible = 0, too_big = 0, miss_slo = 0, kept = 0;
  };
  /// Lanes [begin, end) of a block; the first of them is `point`.
  void add(const Block& block, int begin, int end, std::int64_t point);
  /// Points of a deployment that cannot exist.
  void add_impossible(std::int64_t point, std::int64_t count);
  void merge(const Kept& other);

  Counts counts;
  std::array<double, kNumColumns> least, most;
  std::vector<Histogram> histograms;
  std::vector<std::vector<Marginal>> marginals;  // [axis][value]
  std::vector<Front> fronts;                     // one for each value of the axis `per`
  Top top;

 private:
  void note(std::vector<Marginal>& values, std::int64_t digit, const Entry& e);
  const Grid* grid_;
  const Reduction* how_;
  std::ptrdiff_t per_axis_ = -1;
};

}  // namespace kvroof::sweep
