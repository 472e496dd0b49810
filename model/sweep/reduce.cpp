#include "model/sweep/reduce.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace kvroof::sweep {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

double signed_bad(double v, Column c) { return info(c).more_is_better ? -v : v; }

}  // namespace

double badness(const Entry& e, Column c) { return signed_bad(e[c], c); }

bool better(const Entry& a, const Entry& b, Column by) {
  const double x = badness(a, by), y = badness(b, by);
  return x != y ? x < y : a.point < b.point;
}

void Top::add(const Entry& e) {
  if (k_ == 0) return;
  const auto order = [this](const Entry& a, const Entry& b) { return better(a, b, by_); };
  if (heap_.size() == k_) {
    if (!better(e, heap_.front(), by_)) return;
    std::pop_heap(heap_.begin(), heap_.end(), order);
    heap_.back() = e;
  } else {
    heap_.push_back(e);
  }
  std::push_heap(heap_.begin(), heap_.end(), order);
  worst_ = badness(heap_.front(), by_);
}

std::vector<Entry> Top::sorted() const {
  std::vector<Entry> out = heap_;
  std::sort(out.begin(), out.end(),
            [this](const Entry& a, const Entry& b) { return better(a, b, by_); });
  return out;
}

/// The first entry whose x is not better than bad_x; the one before it has the best y of all whose
/// x is better.
std::vector<Entry>::const_iterator Front::first_not_better(double bad_x) const {
  return std::lower_bound(entries_.begin(), entries_.end(), bad_x,
                          [this](const Entry& e, double x) { return badness(e, x_) < x; });
}

bool Front::admits(double bad_x, double bad_y) const {
  const auto at = first_not_better(bad_x);
  if (at != entries_.begin() && badness(*(at - 1), y_) <= bad_y) return false;
  return at == entries_.end() || badness(*at, x_) != bad_x || badness(*at, y_) >= bad_y;
}

void Front::add(const Entry& e) {
  const double x = badness(e, x_), y = badness(e, y_);
  if (!admits(x, y)) return;
  const auto at = first_not_better(x);
  auto end = at;
  if (at != entries_.end() && badness(*at, x_) == x && badness(*at, y_) == y) {
    if (e.point < at->point) entries_[static_cast<std::size_t>(at - entries_.begin())] = e;
    return;
  }
  while (end != entries_.end() && badness(*end, y_) >= y) ++end;
  entries_.insert(entries_.erase(at, end), e);
}

int Histogram::bin(double v) {
  if (!(v > 0)) return 0;
  // Exponent and the first three bits of the mantissa.
  const auto bits = std::bit_cast<std::uint64_t>(v) >> 49;
  const auto eighths = static_cast<std::int64_t>(bits) - 8 * (1023 + kLowestExponent);
  return static_cast<int>(std::clamp<std::int64_t>(eighths, 0, kBins - 1));
}

double Histogram::lower_edge(int bin) {
  return std::ldexp(1 + (bin % 8) / 8.0, bin / 8 + kLowestExponent);
}

Kept::Kept(const Grid& grid, const Reduction& how)
    : histograms(kNumColumns), top(how.top, how.by), grid_(&grid), how_(&how) {
  least.fill(kInf), most.fill(-kInf);
  for (const GridAxis& a : grid.axes) marginals.emplace_back(a.values.size());
  std::size_t num_fronts = 1;
  for (std::size_t i = 0; i < grid.axes.size(); ++i)
    if (grid.axes[i].path == how.per)
      per_axis_ = static_cast<std::ptrdiff_t>(i), num_fronts = grid.axes[i].values.size();
  fronts.assign(num_fronts, Front(how.pareto_x, how.pareto_y));
}

void Kept::note(std::vector<Marginal>& values, std::int64_t digit, const Entry& e) {
  Marginal& m = values[static_cast<std::size_t>(digit)];
  if (m.kept++ == 0 || better(e, m.best, how_->by)) m.best = e;
}

void Kept::add_impossible(std::int64_t point, std::int64_t count) {
  counts.points += count, counts.impossible += count;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::vector<std::int64_t> d = grid_->digits(point + i);
    for (std::size_t a = 0; a < d.size(); ++a)
      ++marginals[a][static_cast<std::size_t>(d[a])].points;
  }
}

void Kept::add(const Block& b, int begin, int end, std::int64_t point) {
  const std::vector<std::int64_t> digits = grid_->digits(point);
  const bool inner = grid_->axes.size() > grid_->num_outer;
  const std::size_t last = inner ? digits.size() - 1 : digits.size();
  counts.points += end - begin;
  for (std::size_t a = 0; a < last; ++a)
    marginals[a][static_cast<std::size_t>(digits[a])].points += end - begin;
  const Lanes &ttft = b[Column::ttft], &tpot = b[Column::tpot], &by = b[how_->by];
  const Lanes &x = b[how_->pareto_x], &y = b[how_->pareto_y];
  Entry block_best;
  std::int64_t num_kept = 0;
  for (int i = begin; i < end; ++i) {
    const std::int64_t digit = inner ? digits.back() + (i - begin) : 0;
    if (inner) ++marginals[last][static_cast<std::size_t>(digit)].points;
    if (!b.fits[i]) {
      ++counts.too_big;
      continue;
    }
    if (!(ttft[i] <= how_->slo.ttft && tpot[i] <= how_->slo.tpot)) {
      ++counts.miss_slo;
      continue;
    }
    Entry e{.point = point + (i - begin)};
    for (std::size_t c = 0; c < kNumColumns; ++c) {
      const double v = b.column[c][i];
      e.values[c] = v;
      least[c] = std::min(least[c], v), most[c] = std::max(most[c], v);
      histograms[c].add(v);
    }
    if (num_kept++ == 0 || better(e, block_best, how_->by)) block_best = e;
    if (inner) note(marginals[last], digit, e);
    if (top.admits(signed_bad(by[i], how_->by))) top.add(e);
    std::size_t front = 0;
    if (per_axis_ >= 0)
      front = static_cast<std::size_t>(static_cast<std::size_t>(per_axis_) == last
                                           ? digit
                                           : digits[static_cast<std::size_t>(per_axis_)]);
    if (fronts[front].admits(signed_bad(x[i], how_->pareto_x), signed_bad(y[i], how_->pareto_y)))
      fronts[front].add(e);
  }
  counts.kept += num_kept;
  if (num_kept == 0) return;
  for (std::size_t a = 0; a < last; ++a) {
    note(marginals[a], digits[a], block_best);
    marginals[a][static_cast<std::size_t>(digits[a])].kept += num_kept - 1;
  }
}

void Kept::merge(const Kept& o) {
  counts.points += o.counts.points, counts.impossible += o.counts.impossible;
  counts.too_big += o.counts.too_big, counts.miss_slo += o.counts.miss_slo;
  counts.kept += o.counts.kept;
  for (std::size_t c = 0; c < kNumColumns; ++c) {
    least[c] = std::min(least[c], o.least[c]), most[c] = std::max(most[c], o.most[c]);
    for (std::size_t i = 0; i < Histogram::kBins; ++i)
      histograms[c].counts[i] += o.histograms[c].counts[i];
  }
  for (std::size_t a = 0; a < marginals.size(); ++a)
    for (std::size_t v = 0; v < marginals[a].size(); ++v) {
      Marginal& m = marginals[a][v];
      const Marginal& n = o.marginals[a][v];
      if (n.kept > 0 && (m.kept == 0 || better(n.best, m.best, how_->by))) m.best = n.best;
      m.points += n.points, m.kept += n.kept;
    }
  for (std::size_t i = 0; i < fronts.size(); ++i)
    for (const Entry& e : o.fronts[i].entries()) fronts[i].add(e);
  for (const Entry& e : o.top.sorted()) top.add(e);
}

}  // namespace kvroof::sweep
