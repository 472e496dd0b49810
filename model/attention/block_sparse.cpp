#include "model/attention/block_sparse.hpp"

#include <algorithm>
#include <cmath>

#include "model/attention/flash_v2.hpp"

namespace kvroof::attention {

namespace {

// Share of the key tiles that no row of a K/V head keeps, where each (row tile, key tile) of
// `heads_each` query heads is kept with probability s: a tile that r row tiles see is kept by none
// of them with x^r, x = (1 - s)^heads_each. Causal: r runs from 1 on the last keys to all T row
// tiles on those of the cache.
//   x^T·(1 - s_q/s_kv) + (x + … + x^T)·m/s_kv
double unread_keys(const AttentionShape& x, double row_tiles, double m, double s) {
  const double none = std::pow(1 - s, x.group()), all = std::pow(none, row_tiles);
  if (!x.causal) return all;
  const double sum = none < 1 ? none * (1 - all) / (1 - none) : row_tiles;
  return std::min(1.0, all * (1 - x.s_q / x.s_kv) + sum * m / x.s_kv);
}

}  // namespace

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
  w.flops *= s, w.fp32 *= s;
  // Rows that keep unequal numbers of tiles start together only once: later waves dissolve.
  const double waves = ceil_div(heads * tiles.q_tiles, 1.0 * chip.num_sms * t.ctas_per_sm);
  w.reread = w.reread / std::max(1.0, waves - 1);
  w.l2_to_sm = s * (w.l2_to_sm - q) + q + block_list;
  w.read.kv *= o.kept_keys.value_or(1 - unread_keys(x, tiles.q_tiles, t.m, s));
  w.read.activations += block_list;
  return c;
}

}  // namespace kvroof::attention
