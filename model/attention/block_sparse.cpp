#include "model/attention/block_sparse.hpp"

#include <algorithm>

#include "model/attention/flash_v2.hpp"

namespace kvroof::attention {

Cost block_sparse(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const Tile t = o.tile.value_or(flash_v2_tile(std::max(x.d_qk, x.d_v)));
  Cost c = forward(x, f, chip, {.tile = t, .lse = o.lse});
  if (o.sparsity >= 1) return c;

  const double heads = x.b * x.h_q;
  const TileCount tiles = count_tiles(x, 1, t.m, t.n);
  const double kept = std::round(std::max(0.0, o.sparsity) * heads * tiles.visited);
  const double s = tiles.visited > 0 ? kept / (heads * tiles.visited) : 0;
  const Bytes q = c.work.read.activations, block_list{4 * kept};
  const Work on_chip = tile_work(kept, t, x.d_qk, x.d_v, f);
  Work& w = c.work;
  w.flops_executed = on_chip.flops_executed, w.smem = on_chip.smem;
  w.exps = on_chip.exps + heads * row_end_exps(tiles.q_tiles * t.m, t, x.d_v);
  w.flops *= s, w.fp32 *= s, w.reread *= s;
  w.l2_to_sm = s * (w.l2_to_sm - q) + q + block_list;
  w.read.kv *= std::min(1.0, s * tiles.q_tiles * x.group());
  w.read.activations += block_list;
  return c;
}

}  // namespace kvroof::attention
