// Dense products: C[m, n] = A[m, k] · B[k, n], A activations, B weights.
#pragma once
#include "model/on_chip.hpp"
#include "model/work.hpp"

namespace kvroof {

/// Output tile of one CTA and how CTAs work together.
///   cluster_m, cluster_n  CTAs of a cluster along m and n: each fetches its share of what its
///                         neighbours need too, and TMA multicast delivers it to all of them
///   split_k               CTAs that share the k loop of one tile; `reduces`: a second kernel adds
///                         their fp32 parts (cuBLASLt), else they meet on the way (stream-K)
struct GemmTile {
  int m = 128, n = 128, k = 64;
  int split_k = 1;
  bool reduces = false;
  int cluster_m = 1, cluster_n = 1;
  constexpr bool operator==(const GemmTile&) const = default;
};

/// The tile a good library picks: fewest padded rows and waves among those that L2 can feed
/// (chip.l2_ridge), larger tiles preferred (they reuse more); small m puts the weights on the 64-row
/// side of the MMA (operands swapped), so m is padded to 16; k is split when the tiles alone would
/// leave SMs idle. Two CTAs share the longer side's operand where that costs no wave.
GemmTile gemm_tile(double m, double n, double k, const OnChip& chip);

/// Formats of one product. `weight` covers scales; bias adds n values of the activations' format.
struct GemmFormats {
  ElementSize weight{2}, in{2}, out{2};
  bool bias = false;
};

/// Work of `batch` independent products.
///   flops          = 2·batch·m·n·k
///   flops_executed = 2·batch·⌈m⌉·⌈n⌉·⌈k⌉ padded to clusters of tiles, k to whole steps of a split
///   read.weights   = batch·k·n·weight (+ bias)     read.activations = batch·m·k·in
///   written        = batch·m·n·out (+ split·m·n·4 of partial sums where a second kernel adds them)
///   reread         = batch·gemm_reread(…)
///   l2_to_sm       = per cluster ⌈k⌉·(cluster_m·tile.m·in + cluster_n·tile.n·weight)
///   multicast      = per CTA ⌈k⌉·(tile.m·in + tile.n·weight), less l2_to_sm
Work gemm(double m, double n, double k, const GemmFormats& formats, const GemmTile& tile,
          const OnChip& chip, double batch = 1);

}  // namespace kvroof
