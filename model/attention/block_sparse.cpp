#include "model/attention/block_sparse.hpp"

#include <algorithm>

#include "model/attention/flash_v2.hpp"

namespace kvroof::attention {

Cost block_sparse(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const Tile t = o.tile.value_or(flash_v2_tile(std::max(x.d_qk, x.d_v)));
  Cost c = forward(x, f, chip, {.tile = t, .lse = o.lse});
  if (o.sparsity >= 1) return c;

  const double s = std::max(0.0, o.sparsity), heads = x.b * x.h_q;
  const TileCount tiles = count_tiles(x, 1, t.m, t.n);
  const Bytes q = c.work.read.activations, block_list{4 * heads * s * tiles.visited};
  Work& w = c.work;
  w.flops *= s, w.flops_executed *= s, w.exps *= s, w.fp32 *= s, w.smem *= s;
  w.reread *= s;
  w.l2_to_sm = s * (w.l2_to_sm - q) + q + block_list;
  w.read.kv *= std::min(1.0, s * tiles.q_tiles * x.group());
  w.read.activations += block_list;
  return c;
}

}  // namespace kvroof::attention
