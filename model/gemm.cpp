#include "model/gemm.hpp"

#include <algorithm>
#include <cmath>

#include "model/gemm_reread.hpp"

namespace kvroof {
namespace {

double round_up(double x, double to) { return std::ceil(x / to) * to; }

}  // namespace

GemmTile gemm_tile(double m, double n, double k, const OnChip& chip) {
  struct Candidate {
    int m, n;
    double reuse;
  };  // reuse: rate of the tile's main loop over the best tile's
  constexpr Candidate candidates[] = {{128, 256, 1.0},  {256, 128, 1.0},  {128, 128, 0.95},
                                      {128, 192, 0.98}, {192, 128, 0.98}, {64, 256, 0.95},
                                      {64, 192, 0.9},   {64, 128, 0.85},  {64, 64, 0.7}};
  if (m <= 64) {
    GemmTile tile{.m = static_cast<int>(round_up(std::max(m, 1.0), 16)), .n = 64, .k = 64};
    const double tiles = std::ceil(n / tile.n);
    const double most =
        std::max(1.0, std::floor(k / (4.0 * tile.k)));  // four k steps a CTA at least
    tile.split_k = static_cast<int>(std::clamp(std::floor(chip.num_sms / tiles), 1.0, most));
    return tile;
  }
  GemmTile best;
  double least = INFINITY;
  // A part of k costs the tile's FP32 partial results a trip through L2: 8 bytes an element at 64
  // bytes a clock and SM is what 256 steps along k take the tensor cores (4096 FLOP a clock).
  constexpr double kReduction = 256, kMostSplits = 8;
  const double splits = std::clamp(std::floor(k / (4 * 64)), 1.0, kMostSplits);
  for (const Candidate& c : candidates)
    for (const int pair : {2, 1}) {
      if (pair == 2 && c.m == c.n) continue;  // small tiles: multicast buys little
      GemmTile t{.m = c.m, .n = c.n};
      (c.m < c.n ? t.cluster_m : t.cluster_n) = pair;
      const double tiles =
          pair * std::ceil(m / (t.m * t.cluster_m)) * std::ceil(n / (t.n * t.cluster_n));
      for (t.split_k = 1; t.split_k <= splits; ++t.split_k) {
        const double steps = k / t.split_k + (t.split_k > 1 ? kReduction : 0);
        const double waves = std::ceil(tiles * t.split_k / chip.num_sms);
        const double tensor = waves * 2.0 * c.m * c.n * steps / c.reuse;
        const double rows = 1.0 * t.m / t.cluster_n, columns = 1.0 * t.n / t.cluster_m;
        const double loads = tiles * (rows + columns) * k * 2 / chip.num_sms;  // byte from L2, BF16
        const double cost = std::max(tensor, loads * chip.l2_ridge);
        if (cost < least) least = cost, best = t;
      }
    }
  return best;
}

Work gemm(double m, double n, double k, const GemmFormats& f, const GemmTile& tile,
          const OnChip& chip, double batch) {
  const double rows = 1.0 * tile.m * tile.cluster_m, columns = 1.0 * tile.n * tile.cluster_n;
  const double clusters = std::ceil(m / rows) * std::ceil(n / columns);
  const double depth = round_up(k, 1.0 * tile.k * tile.split_k);
  const Elements weights{batch * n * k}, in{batch * m * k}, out{batch * m * n};
  const Bytes bias = f.bias ? Elements{batch * n} * f.out : Bytes{};
  const Bytes cluster_loads = Elements{rows * depth} * f.in + Elements{columns * depth} * f.weight;
  const Bytes received = tile.cluster_n * (Elements{rows * depth} * f.in) +
                         tile.cluster_m * (Elements{columns * depth} * f.weight);
  Work w;
  w.flops = Flops{2 * batch * m * n * k};
  w.flops_executed = Flops{2 * batch * clusters * rows * columns * depth};
  w.read.weights = weights * f.weight + bias;
  w.read.activations = in * f.in;
  w.written.activations = out * f.out;
  w.reread = batch * gemm_reread(m, n, k, f, tile, chip);
  w.l2_to_sm = batch * clusters * cluster_loads;
  w.multicast = batch * clusters * (received - cluster_loads);
  w.smem = 2.0 * batch * clusters * received;  // each byte is written once, read once by the MMA
  w.ctas = batch * clusters * tile.cluster_m * tile.cluster_n * tile.split_k;
  w.launches = 1;
  if (tile.split_k > 1 && tile.reduces) {
    const Bytes parts{4 * tile.split_k * batch * m * n};
    w.written.activations += parts;
    w.l2_to_sm += parts;  // read back from L2
    w.launches = 2;
  }
  return w;
}

}  // namespace kvroof
