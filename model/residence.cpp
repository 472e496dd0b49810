#include "model/residence.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace kvroof {
namespace {

constexpr int kSteps = 8;  // of each integral

double middle(int i) { return (i + 0.5) / kSteps; }

double waves(const Raster& r) { return std::max(1.0, r.across * r.length / r.wave); }
double strips(const Raster& r) { return std::max(1.0, r.across / r.width); }

/// When a row is written, as a share of the kernel's way; `part`: where else its order goes.
double written_at(const Pass& p, double row, double part) {
  if (!p.raster) return p.scattered ? part : row;
  // The row's place in the raster. Strips cut from n each hold all rows, every other one backwards;
  // strips cut from m hold rows that follow each other.
  const double n = strips(*p.raster), strip = std::floor((p.raster->along_m ? part : row) * n);
  const double along = p.raster->along_m ? row : part;
  const bool back = std::fmod(strip, 2) == 1;
  const double at = std::min(1.0, (strip + (back ? 1 - along : along)) / n);
  return std::min(1.0, (std::floor(at * waves(*p.raster)) + 1) / waves(*p.raster));
}

/// When a row is read first. A wave of tiles reads all its rows side by side, along k.
double read_at(const Pass& p, double row, double part) {
  if (!p.raster) return p.scattered ? part : row;
  const double n = strips(*p.raster), w = waves(*p.raster);
  const double at = p.raster->along_m ? row / n : std::floor(row * n) / n;
  return std::min(1.0, (std::floor(at * w) + part) / w);
}

Bytes taken(const Pass& p) {
  Bytes sum;
  for (const TensorRead& r : p.reads) sum += l2_taken(r.how) * r.bytes;
  for (const TensorWrite& w : p.writes) sum += w.bytes;
  return sum;
}

struct Touch {
  std::size_t pass = 0;
  bool written = false, evict_first = false;
};

/// Mean of hit(t, u) over what decides when a line was touched last (t) and is read (u).
template <class F>
double mean_hit(const Pass& before, bool written, const Pass& reader, const F& hit) {
  double sum = 0;
  for (int row = 0; row < kSteps; ++row)
    for (int i = 0; i < kSteps; ++i) {
      const double r = middle(row);
      const double t = written ? written_at(before, r, middle(i)) : read_at(before, r, middle(i));
      for (int j = 0; j < kSteps; ++j) sum += hit(t, read_at(reader, r, middle(j)));
    }
  return sum / (kSteps * kSteps * kSteps);
}

}  // namespace

std::vector<Bytes> found_in_l2(std::span<const Pass> passes, const OnChip& chip) {
  std::map<std::string_view, Touch> last;
  std::vector<Bytes> before{Bytes{}}, found;  // before: taken by all passes up to each
  for (std::size_t i = 0; i < passes.size(); ++i) {
    const Pass& pass = passes[i];
    const Bytes own = taken(pass);
    found.emplace_back();
    for (const TensorRead& read : pass.reads) {
      const auto touch = last.find(read.tensor);
      if (read.tensor.empty() || touch == last.end()) continue;
      const std::size_t j = touch->second.pass;
      const Bytes between = before[i] - before[j + 1], behind = before[j + 1] - before[j];
      const auto hit = [&](double t, double u) {
        return l2_hit_written((1 - t) * behind + between + u * own, chip,
                              touch->second.evict_first);
      };
      found.back() += mean_hit(passes[j], touch->second.written, pass, hit) * read.bytes;
    }
    for (const TensorRead& read : pass.reads)
      last[read.tensor] = {i, false, read.how == Reading::evict_first};
    for (const TensorWrite& write : pass.writes) last[write.tensor] = {i, true, false};
    before.push_back(before.back() + own);
  }
  return found;
}

}  // namespace kvroof
