#include "model/gemm.hpp"

#include <algorithm>
#include <cmath>

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
  for (const Candidate& c : candidates) {
    const double tiles = std::ceil(m / c.m) * std::ceil(n / c.n);
    for (int split = 1; split <= std::clamp(std::floor(k / (4 * 64)), 1.0, kMostSplits); ++split) {
      const double steps = k / split + (split > 1 ? kReduction : 0);
      const double cost = std::ceil(tiles * split / chip.num_sms) * c.m * c.n * steps / c.reuse;
      if (cost >= least) continue;
      least = cost;
      best = {
          .m = c.m, .n = c.n, .k = 64, .split_k = split, .cluster = c.m * c.n > 128 * 128 ? 2 : 1};
    }
  }
  return best;
}

Work gemm(double m, double n, double k, const GemmFormats& f, const GemmTile& tile, double batch) {
  const double tiles = std::ceil(m / tile.m) * std::ceil(n / tile.n);
  const double padded = round_up(m, tile.m) * round_up(n, tile.n) * round_up(k, tile.k);
  const Elements weights{batch * n * k}, in{batch * m * k}, out{batch * m * n};
  const Bytes bias = f.bias ? Elements{batch * n} * f.out : Bytes{};
  const Bytes a_tile = Elements{tile.m * k} * f.in, b_tile = Elements{tile.n * k} * f.weight;
  const Bytes tile_loads = min(a_tile, b_tile) + max(a_tile, b_tile) / tile.cluster;
  Work w;
  w.flops = Flops{2 * batch * m * n * k};
  w.flops_executed = Flops{2 * batch * padded};
  w.read.weights = weights * f.weight + bias;
  w.read.activations = in * f.in;
  w.written.activations = out * f.out;
  w.l2_to_sm = batch * tiles * tile_loads;
  w.smem = 2.0 * w.l2_to_sm;  // each operand byte is written once and read once by the MMA
  w.ctas = batch * tiles * tile.split_k;
  w.launches = 1;
  return w;
}

}  // namespace kvroof
