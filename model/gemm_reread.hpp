// HBM reads of a dense product beyond the first: which operands a wave of tiles finds in L2.
#pragma once
#include "model/gemm.hpp"

namespace kvroof {

/// Order in which the persistent CTAs of a product take its clusters of tiles: strips of `width`
/// clusters, each walked along its `length` rows of clusters, back and forth.
///   across   clusters across the strips     length   clusters along them     wave   run at once
///   along_m  strips are cut from n and walked along m (clusters of 2 x 1 tiles), else the reverse
struct Raster {
  double across = 1, length = 1, width = 1, wave = 132;
  bool along_m = true;
  constexpr bool operator==(const Raster&) const = default;
};

/// cuBLASLt's order on Hopper: width = round(sqrt(num_sms·a / b)), a the tile's extent across the
/// strip, b the cluster's extent along it. Read off the order in which the tiles of 16 products of
/// cuBLAS 13.1 appear in memory (128x256: 11, 128x320: 13, 192x192: 8, 128x144: 9 tiles).
Raster gemm_raster(double m, double n, const GemmTile& tile, const OnChip& chip);

/// HBM reads beyond the compulsory ones: a walk over the raster, wave by wave.
///   The CTAs of a wave walk k side by side, so an operand panel (tile rows by k) is fetched once
///   for all of them, and a wave reads V = Σ panels of the rows and columns it covers.
///   A panel that an earlier wave used as well is found again as far as L2 held it over what was
///   moved since at the same k: one V, of the waves between what they did not share with the wave
///   before them, and what was written. Of a panel, half is gone after 0.95 of l2_effective.
///   CTAs drift apart like a random walk, by sqrt(k steps) steps. Those ahead meet panels sooner
///   after the last use: the longer a product runs, the more it finds. But when the last is further
///   behind than L2 remembers, panels are fetched that many times within a wave.
///   Constants: the medians of 79 products on an H200, four occasions (gemm_raster.csv and
///   gemm_spread.csv). The drift is not the same every day: it explains, as one factor between 1
///   and 1.4, why reads of an occasion are more for products of long k and fewer for those whose
///   waves just fit L2.
/// Zero where one wave covers the output. Left out: m <= 64, whose re-reads of A stay under 1 %;
/// batches and experts that share a grid.
Bytes gemm_reread(double m, double n, double k, const GemmFormats& formats, const GemmTile& tile,
                  const OnChip& chip);

}  // namespace kvroof
