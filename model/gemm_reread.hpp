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

/// HBM reads beyond the compulsory ones.
///   The CTAs of a wave walk k side by side, so an operand panel (tile rows by k) is fetched once
///   for all of them, and a wave reads V = Σ panels of the rows and columns it covers.
///   The next wave finds a panel again if L2 held it over what was moved since: V, and what the
///   wave wrote (1.75 times: most written lines have a copy in the other half of L2), by l2_hit().
///   At the turn of a strip the last rows come again after fewer bytes.
///   CTAs drift apart like a random walk, by sqrt(k steps) steps; when the last is further behind
///   than L2 remembers, panels are fetched that many times.
/// Zero where one wave covers the output. Left out: m <= 64, whose re-reads of A stay under 1 %;
/// batches and experts that share a grid.
Bytes gemm_reread(double m, double n, double k, const GemmFormats& formats, const GemmTile& tile,
                  const OnChip& chip);

}  // namespace kvroof
