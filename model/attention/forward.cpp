#include "model/attention/forward.hpp"

namespace kvroof::attention {

bool should_pack(double s_q, double group, double m) {
  const double rows = s_q * group;
  return s_q / round_up(s_q, m) < 0.9 * rows / round_up(rows, m);
}

Cost forward(const AttentionShape& x, const Formats& f, const OnChip& chip,
             const ForwardPlan& plan) {
  const Tile& t = plan.tile;
  const double group = x.group(), heads = x.b * (plan.packed ? x.h_kv : x.h_q);
  const TileCount c = count_tiles(x, plan.packed ? group : 1, t.m, t.n, plan.sinks);
  const double visible = visible_tokens(x, plan.sinks), d = x.d_qk + x.d_v;
  const Elements loaded{heads * c.keys * d};  // by all thread blocks
  const Elements stream{visible * d};         // K and V of one K/V head
  const Bytes q = Elements{x.b * x.h_q * x.s_q * x.d_qk} * f.act_size();
  const Bytes o = Elements{x.b * x.h_q * x.s_q * x.d_v} * f.act_size();

  Work w = tile_work(heads * c.visited, t, x.d_qk, x.d_v, f);
  w.exps += heads * row_end_exps(c.q_tiles * t.m, t, x.d_v);
  w.flops = product_flops(x, paper_pairs(x, plan.sinks));
  w.read.kv = x.b * x.h_kv * (stream * f.kv_size());
  w.read.activations = q;
  w.written.activations = o + Bytes{plan.lse ? 4 * x.b * x.h_q * x.s_q : 0};
  w.l2_to_sm = loaded * f.kv_size() + q;
  const double share = visible > 0 ? c.keys / (c.q_tiles * visible) : 0;
  const double blocks_per_stream = c.q_tiles * (plan.packed ? 1 : group);
  const Bytes kv = stream * f.kv_size();
  const Bytes own = ((plan.q_leaves_l2 ? Bytes{} : q) + kOutputCopies * o) / (heads * c.q_tiles);
  const double streams = x.b * x.h_kv, lag = x.causal ? 1 - x.s_q / x.s_kv : 1;
  const bool local = x.window > 0 && x.window < x.s_kv;
  if (!local) w.reread = wave_refetches(kv, streams, blocks_per_stream, own, lag, t, chip) * kv;
  if (x.causal || local)
    w.reread = max(w.reread, streams * kv_reread(kv, blocks_per_stream, share, t, chip));
  w.fp32 += dequant_work(loaded, f.kv, f.math);
  w.ctas = heads * c.q_tiles;
  w.launches = 1;
  Cost cost{.work = w, .execution = execution_of(t)};
  cost.execution.longest = longest_block(x, c, plan.packed ? group : 1, t.m, t.n, plan.sinks);
  return cost;
}

}  // namespace kvroof::attention
