#include "model/moe.hpp"

#include <algorithm>
#include <cmath>

namespace kvroof {

double experts_touched(double num_experts, double top_k, double tokens, double correlation) {
  const double independent = tokens <= 1 ? tokens : 1 + (tokens - 1) * (1 - correlation);
  return num_experts * (1 - std::pow(1 - top_k / num_experts, independent));
}

Work experts_gemm(const ExpertShard& shard, double n, double k, const GemmFormats& formats,
                  const OnChip& chip) {
  if (shard.touched <= 0) return {};
  const double rows = std::max(1.0, shard.assignments / shard.touched);
  // All experts share the grid, so k is not split and the tile follows the rows of one expert.
  GemmTile tile = gemm_tile(rows, n, k, chip);
  tile.split_k = 1;
  Work w = gemm(rows, n, k, formats, tile, chip, shard.touched);
  // Rows are an average; the paper count is exact whatever the routing.
  w.flops = Flops{2 * shard.assignments * n * k};
  w.read.activations = Elements{shard.assignments * k} * formats.in;
  w.written.activations = Elements{shard.assignments * n} * formats.out;
  return w;
}

}  // namespace kvroof
