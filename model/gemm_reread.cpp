#include "model/gemm_reread.hpp"

#include <algorithm>
#include <cmath>

namespace kvroof {
namespace {

// Steps of k that CTAs are apart after one step each; from the DRAM reads of products of more than
// 20 waves (0.9 to 1.4 by tile).
constexpr double kDrift = 1;
constexpr double kMostWaves = 4096;  // counted one by one; those beyond are as their mean
// l2_hit() is one half at this multiple of l2_effective: 19^(1/14).
constexpr double kL2Half = 1.234;

/// The part of a wave that lies in one strip: positions begin .. end - 1 of the strip, whose rows
/// of `width` clusters count from the end where its walk starts.
struct Part {
  double begin, end, width;
  double first_row() const { return std::floor(begin / width); }
  double rows_end() const { return std::ceil(end / width); }
  double rows() const { return rows_end() - first_row(); }
  double panels() const { return std::min(width, end - begin); }  // distinct ones across
  bool splits_row() const { return std::fmod(begin, width) != 0; }
};

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

/// What one wave needs, and how much of it is already there.
struct Wave {
  double panels = 0, rows = 0;  // distinct panels across and along the strips
  double kept_rows = 0;         // of them, rows that L2 holds from before the turn of the strip
  Bytes shared;                 // what the wave before used as well
  double strip = -1;            // where the wave ends, and what it covers there
  Part part{};
};

/// The wave of clusters begin .. end - 1, in the order of the raster.
Wave cover(double begin, double end, const Wave& before, const Raster& r, const PanelBytes& bytes,
           const OnChip& chip) {
  const double strip_size = r.width * r.length;
  Wave wave{.strip = std::floor(begin / strip_size)};
  double turned = 0;  // rows next to the turn that this wave covers before it
  for (double at = begin; at < end; ++wave.strip) {
    Part& part = wave.part;
    const double start = wave.strip * strip_size;
    part.width = std::min(r.width, r.across - wave.strip * r.width);
    part.begin = at - start, part.end = std::min(end - start, part.width * r.length);
    at = start + part.end;
    wave.panels += part.panels();
    const double first = std::max(part.first_row(), turned);
    double fresh = std::max(0.0, part.rows_end() - first);
    wave.rows += fresh;
    if (wave.strip == before.strip) {
      wave.shared +=
          std::max(0.0, before.part.panels() + part.panels() - part.width) * bytes.across;
      if (part.splits_row()) wave.shared += bytes.along, fresh = std::max(0.0, fresh - 1);
    }
    if (wave.strip > 0 && fresh > 0) {  // `back` rows ago the strip before walked the other way
      const double back = 0.5 * (first + part.rows_end());
      const Bytes between = 2 * r.width * bytes.across + back * bytes.along +
                            2 * back * r.width * kWriteCopies * bytes.out;
      wave.kept_rows += fresh * l2_hit(between, chip);
    }
    turned = part.end == part.width * r.length ? r.length - part.first_row() : 0;
  }
  --wave.strip;
  return wave;
}

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
  const Bytes written = kWriteCopies * r.wave * bytes.out;
  const double k_steps = std::ceil(k / tile.k);

  Bytes fetched, last_moved;
  Wave wave;
  double done = 0;  // waves
  for (double begin = 0; begin < clusters && done < kMostWaves; begin += r.wave, ++done) {
    wave = cover(begin, std::min(clusters, begin + r.wave), wave, r, bytes, chip);
    const Bytes moved = wave.panels * bytes.across + wave.rows * bytes.along;
    const Bytes between = 0.5 * (moved + last_moved) + written;
    const Bytes missed = moved - wave.kept_rows * bytes.along - l2_hit(between, chip) * wave.shared;
    // Both in waves: how far the last CTA is behind, how far back L2 holds at least half.
    const double behind = kDrift * std::sqrt((done + 0.5) / k_steps);
    const double held = kL2Half * chip.l2_effective / moved;
    fetched += (held < 1 ? std::max(1.0, behind / held) : 1) * missed;
    last_moved = moved;
  }
  fetched *= std::max(1.0, clusters / (done * r.wave));
  const Bytes compulsory = Elements{m * k} * f.in + Elements{n * k} * f.weight;
  return max(Bytes{}, fetched - compulsory);
}

}  // namespace kvroof
