// Dense products: C[m, n] = A[m, k] · B[k, n], A activations, B weights.
#pragma once
#include "model/on_chip.hpp"
#include "model/work.hpp"

namespace kvroof {

/// Output tile of one CTA, the number of CTAs that share the k loop of one tile, and of neighbours
/// that fetch the wider operand once for all of them (TMA multicast in a cluster).
struct GemmTile {
  int m = 128, n = 128, k = 64;
  int split_k = 1;
  int cluster = 1;
  constexpr bool operator==(const GemmTile&) const = default;
};

/// The tile a good library picks: fewest padded rows and waves, larger tiles preferred (they reuse
/// more); small m puts the weights on the 64-row side of the MMA (operands swapped), so m is padded
/// to 16; k is split when the tiles alone would leave SMs idle.
GemmTile gemm_tile(double m, double n, double k, const OnChip& chip);

/// Formats of one product. `weight` covers scales; bias adds n values of the activations' format.
struct GemmFormats {
  ElementSize weight{2}, in{2}, out{2};
  bool bias = false;
};

/// Work of `batch` independent products.
///   flops          = 2·batch·m·n·k
///   flops_executed = 2·batch·⌈m⌉·⌈n⌉·⌈k⌉ padded to the tile
///   read.weights   = batch·k·n·weight (+ bias)     read.activations = batch·m·k·in
///   written        = batch·m·n·out
///   l2_to_sm       = per tile k·(tile.m·in + tile.n·weight), the wider side divided by the cluster
/// Left out: split-K partial sums, fp32 and L2-resident (2·m·n·4 byte per split beyond the first).
Work gemm(double m, double n, double k, const GemmFormats& formats, const GemmTile& tile,
          double batch = 1);

}  // namespace kvroof
