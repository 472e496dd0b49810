#include "model/gemm_reread.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace kvroof {
namespace {

// Share of l2_effective that may go by until half of a panel is gone: 31 MB of an H200's 33. A read
// that goes around its footprint in step loses half at 33 MB (l2_cyclic.csv).
constexpr double kHalfHeld = 0.95;
// What a written line takes of L2, in lines: tiles are stored once and not read again.
constexpr double kTileCopies = 1.2;
// How far apart CTAs are after one step of k each, in steps: the last behind the first of all, and
// the first of those that share a panel ahead of their mean.
constexpr double kDriftAll = 0.75, kDriftShared = 0.6;
constexpr int kMostWaves = 1024;  // counted one by one; those beyond are as their mean

/// Share of a panel that L2 still holds after `between` other bytes: as sharp as l2_hit().
double held_after(Bytes between, const OnChip& chip) {
  const double x = between / (kHalfHeld * chip.l2_effective), x2 = x * x, x4 = x2 * x2;
  return 1 / (1 + x2 * x4 * x4 * x4);
}

/// Bytes of one panel along and across the strips, and what one cluster writes.
struct PanelBytes {
  Bytes along, across, out;
};

PanelBytes panel_bytes(double m, double n, double k, const GemmFormats& f, const Raster& r) {
  const Bytes a = Elements{m * k} * f.in, b = Elements{n * k} * f.weight;
  const Bytes out = Elements{m * n} * f.out / (r.across * r.length);
  if (r.along_m) return {a / r.length, b / r.across, out};
  return {b / r.length, a / r.across, out};
}

/// The clusters one after another: which panel along and which across the strips each takes.
class Walk {
 public:
  explicit Walk(const Raster& r)
      : across_(whole(r.across)), length_(whole(r.length)), width_(whole(r.width)) {}
  std::int64_t row() const { return back_ ? length_ - 1 - row_ : row_; }
  std::int64_t column() const { return strip_ + column_; }
  void next() {
    if (++column_ < std::min(width_, across_ - strip_)) return;
    column_ = 0;
    if (++row_ < length_) return;
    row_ = 0, strip_ += width_, back_ = !back_;
  }

 private:
  static std::int64_t whole(double x) { return static_cast<std::int64_t>(x); }
  std::int64_t across_, length_, width_;
  std::int64_t strip_ = 0, row_ = 0, column_ = 0;
  bool back_ = false;  // every other strip is walked back
};

/// The panels of one operand: the wave that used each last, and those the wave at work uses.
class Panels {
 public:
  Panels(double count, double most) : last_(static_cast<std::size_t>(std::min(count, most)), -1) {}
  /// Counted once a wave.
  void use(std::int64_t panel, int wave) {
    int& last = last_[static_cast<std::size_t>(panel)];
    if (last == wave) return;
    used_.push_back(last);
    last = wave;
  }
  const std::vector<int>& used() const { return used_; }  // the wave each was used in before, or -1
  void clear() { used_.clear(); }

 private:
  std::vector<int> last_, used_;
};

/// What a wave moved, and what all up to it brought that the wave before had not used.
struct Moved {
  Bytes bytes, fresh_so_far;
};

}  // namespace

Raster gemm_raster(double m, double n, const GemmTile& t, const OnChip& chip) {
  const double rows = 1.0 * t.m * t.cluster_m, columns = 1.0 * t.n * t.cluster_n;
  Raster r{.wave = std::max(1.0, std::floor(1.0 * chip.num_sms / (t.cluster_m * t.cluster_n))),
           .along_m = t.cluster_m >= t.cluster_n};
  const double across = r.along_m ? columns : rows, along = r.along_m ? rows : columns;
  r.across = std::ceil((r.along_m ? n : m) / across);
  r.length = std::ceil((r.along_m ? m : n) / along);
  r.width = std::max(1.0, std::round(std::sqrt(chip.num_sms * across / along)));
  return r;
}

Bytes gemm_reread(double m, double n, double k, const GemmFormats& f, const GemmTile& tile,
                  const OnChip& chip) {
  const Raster r = gemm_raster(m, n, tile, chip);
  const double clusters = r.across * r.length;
  if (clusters <= r.wave || m <= 64) return Bytes{};
  const PanelBytes bytes = panel_bytes(m, n, k, f, r);
  const Bytes written = kTileCopies * r.wave * bytes.out;
  const double k_steps = std::ceil(k / tile.k);

  Walk at(r);
  Panels along(r.length, kMostWaves * r.wave), across(r.across, kMostWaves * r.wave);
  std::vector<Moved> waves;
  Bytes fetched;
  double left = clusters;
  for (int w = 0; w < kMostWaves && left > 0; ++w, left -= r.wave) {
    for (double i = std::min(left, r.wave); i > 0; --i, at.next())
      along.use(at.row(), w), across.use(at.column(), w);
    const auto bytes_of = [&](auto&& share) {  // share(wave that used a panel before)
      Bytes sum;
      for (const int before : along.used()) sum += share(before) * bytes.along;
      for (const int before : across.used()) sum += share(before) * bytes.across;
      return sum;
    };
    const Bytes moved = bytes_of([](int) { return 1.0; });
    const Bytes fresh_before = w > 0 ? waves.back().fresh_so_far : Bytes{};
    const double steps_apart = std::sqrt((w + 0.5) / k_steps);  // of one wave each
    const double ahead = std::min(0.5, kDriftShared * steps_apart);
    const Bytes missed = bytes_of([&](int before) {
      if (before < 0) return 1.0;
      const Moved& then = waves[static_cast<std::size_t>(before)];
      const Bytes one_wave = 0.5 * (then.bytes + moved);
      const Bytes more = fresh_before - then.fresh_so_far + (w - before) * written;
      double hit = 0;  // CTAs of a panel are nowhere, once or twice as far ahead as their mean
      for (const double part : {1. / 3, 1., 5. / 3})
        hit += held_after((1 - part * ahead) * one_wave + more, chip) / 3;
      return 1 - hit;
    });
    const Bytes fresh = bytes_of([&](int before) { return w > 0 && before == w - 1 ? 0.0 : 1.0; });
    // Both in waves: how far the last CTA is behind, how far back L2 holds half.
    const double behind = kDriftAll * steps_apart;
    const double held = kHalfHeld * chip.l2_effective / moved;
    fetched += (held < 1 ? std::max(1.0, behind / held) : 1) * missed;
    waves.push_back({moved, fresh_before + fresh});
    along.clear(), across.clear();
  }
  fetched *= std::max(1.0, clusters / (static_cast<double>(waves.size()) * r.wave));
  const Bytes compulsory = Elements{m * k} * f.in + Elements{n * k} * f.weight;
  return max(Bytes{}, fetched - compulsory);
}

}  // namespace kvroof
