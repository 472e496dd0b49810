#include "model/attention/split_kv.hpp"

#include <algorithm>
#include <cmath>

namespace kvroof::attention {

double split_count(const SplitQuestion& q) {
  if (q.blocks >= 0.8 * q.slots || q.key_tiles <= 1) return 1;
  if (q.rule == SplitRule::fa3 && q.key_tiles <= 4) return 1;
  const double last = std::floor(std::min({q.max_splits, q.slots, q.key_tiles}));
  // The fa2 rule goes straight to the smallest n with fewer tiles per split than the last one.
  const auto next = [&](double n) {
    if (q.rule == SplitRule::fa3) return n + 1;
    const double tiles = std::ceil(q.key_tiles / n);
    return tiles > 1 ? std::max(n + 1, std::ceil(q.key_tiles / (tiles - 1))) : last + 1;
  };
  const auto fill = [&](double n) {
    const double waves = q.blocks * n / q.slots;
    return waves / std::ceil(waves);
  };
  double best = 0;
  for (double n = 1; n <= last && best < 1; n = next(n)) best = std::max(best, fill(n));
  for (double n = 1; n <= last; n = next(n))
    if (fill(n) >= 0.85 * best) return n;
  return 1;
}

double l2_split_count(Bytes stream, double q_tiles, double num_sms, bool masked, Bytes l2) {
  if (stream <= l2 || q_tiles < 2 * num_sms || masked) return 1;
  return std::ceil(stream / l2);
}

Tile decode_tile(double rows, double d_qk) {
  const int m = rows <= 16 ? 16 : rows <= 32 ? 32 : 64;
  return {.m = m,
          .n = d_qk <= 128 ? 128 : 64,
          .ctas_per_sm = 2,
          .mma_rows = m,
          .mma_sync = true,
          .overlap = 1};
}

DecodePlan decode_plan(const AttentionShape& x, const OnChip& chip, const Options& o,
                       double sinks) {
  const double rows = x.s_q * (o.packed_group ? x.group() : 1);
  DecodePlan p{.tile = o.tile.value_or(decode_tile(rows, x.d_qk)), .packed = o.packed_group};
  const double heads = x.b * (p.packed ? x.h_kv : x.h_q);
  const double key_tiles = ceil_div(visible_tokens(x, sinks), p.tile.n);
  p.splits = o.splits > 0 ? std::min(o.splits, std::max(1.0, key_tiles))
                          : split_count({.blocks = heads * ceil_div(rows, p.tile.m),
                                         .key_tiles = key_tiles,
                                         .slots = 1.0 * chip.num_sms * p.tile.ctas_per_sm});
  return p;
}

double combine_exps(double rows, double parts, const Tile& t, double d_v) {
  if (t.row_ends == 0 && t.merged_warps == 0) return rows * parts;
  return rows * (round_up(parts, 32) + std::max(32.0, d_v / 4));
}

namespace {

// Share of the partial results that leave L2 before their merge. With equal ranges the last piece
// of a block ends with the kernel; its others end while the cache still streams through L2, and of
// the lines that leave, written ones leave first. Of a piece of t.m rows `rows` are written.
double left_early(const DecodePlan& plan, double partial_rows, double rows, Bytes kv_bytes,
                  const OnChip& chip) {
  if (!plan.even) return 0;
  const double early = std::max(0.0, 1 - plan.even->ctas * plan.tile.m / partial_rows);
  const double written = std::min(1.0, rows / plan.tile.m);
  return early * written * (1 - l2_hit(kv_bytes, chip));
}

}  // namespace

Cost decode(const AttentionShape& x, const Formats& f, const OnChip& chip, const DecodePlan& plan,
            Bytes kv_bytes, Elements cached, double sinks) {
  const Tile& t = plan.tile;
  const double rows = x.s_q * (plan.packed ? x.group() : 1);
  const double row_tiles = ceil_div(rows, t.m);
  const double heads = x.b * (plan.packed ? x.h_kv : x.h_q);
  const double visible = visible_tokens(x, sinks);
  const double scans = row_tiles * (plan.packed ? 1 : x.group());  // of each K/V head's cache
  const double seen = x.window > 0 ? std::min(x.s_kv, x.window + sinks) : x.s_kv;
  const Bytes q = Elements{x.b * x.h_q * x.s_q * x.d_qk} * f.act_size();
  const Bytes o = Elements{x.b * x.h_q * x.s_q * x.d_v} * f.act_size();

  Work w = tile_work(heads * row_tiles * ceil_div(visible, t.n), t, x.d_qk, x.d_v, f);
  w.exps += heads * plan.splits * row_end_exps(rows, t, x.d_v);
  w.flops = product_flops(x, x.s_q * seen);
  w.read = {.kv = kv_bytes, .activations = q};
  w.written.activations = o;
  const Bytes asked = scans / (plan.even ? plan.even->multicast : 1) * kv_bytes;
  const double q_rows = plan.even ? plan.even->q_rows : 0;
  w.l2_to_sm = asked + (q_rows > 0 ? Elements{q_rows * x.d_qk} * f.act_size() : q);
  w.multicast = scans * kv_bytes - asked;
  w.fp32 += dequant_work(scans * cached, f.kv, f.math);
  w.reread = x.b * x.h_kv *
             kv_reread(kv_bytes / (x.b * x.h_kv), scans * plan.splits, 1 / plan.splits, t, chip);
  w.ctas = plan.even ? plan.even->ctas : heads * row_tiles * plan.splits;
  w.launches = 1;
  Cost cost{.work = w, .execution = execution_of(t)};
  const double all_rows = x.b * x.h_q * x.s_q;
  const double partial_rows = plan.even         ? plan.even->partial_rows
                              : plan.splits > 1 ? plan.splits * all_rows
                                                : 0;
  if (partial_rows == 0) return cost;

  const auto partials_of = [&](double n) {
    return Elements{n * x.d_v} * plan.partial + Bytes{plan.stats * n};
  };
  const Bytes partials = partials_of(partial_rows);
  cost.work.written.activations += partials;
  cost.work.read.activations += partials;
  const bool merges_some = plan.even && plan.even->merged_rows > 0;
  cost.work.l2_to_sm += merges_some ? partials_of(plan.even->merged_rows) : partials;
  if (q_rows == 0)  // every split loads its rows of q
    cost.work.l2_to_sm += (plan.even ? partial_rows / all_rows : plan.splits - 1) * q;
  cost.work.exps += plan.even ? partial_rows : combine_exps(all_rows, plan.splits, t, x.d_v);
  cost.work.fp32 += Flops{2 * partial_rows * x.d_v};
  cost.work.launches = plan.even && plan.even->fused_combine ? 1 : 2;
  if (partials <= chip.l2_effective)
    cost.handed_over = 2 * (1 - left_early(plan, partial_rows, rows, kv_bytes, chip)) * partials;
  return cost;
}

Cost decode(const AttentionShape& x, const Formats& f, const OnChip& chip, const DecodePlan& plan,
            double sinks) {
  const Elements cached{x.b * x.h_kv * visible_tokens(x, sinks) * (x.d_qk + x.d_v)};
  return decode(x, f, chip, plan, cached * f.kv_size(), cached, sinks);
}

}  // namespace kvroof::attention
