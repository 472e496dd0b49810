#include "model/attention/flash_v1.hpp"

#include <algorithm>

#include "model/residence.hpp"

namespace kvroof::attention {

Tile flash_v1_tile(double sram_elements, double d) {
  const double keys = ceil_div(sram_elements, 4 * d);
  return {.m = static_cast<int>(std::min(keys, d)),
          .n = static_cast<int>(keys),
          .ctas_per_sm = 1,
          .p_in_smem = true,
          .mma_rows = 16,
          .mma_sync = true};
}

namespace {

/// Rows of one head that L2 keeps from one pass to the next, summed over the passes: found again
/// when they are read, and written over before they have gone to HBM.
struct KeptRows {
  double read = 0, written = 0;
};

// Pass j works on the rows that see a key of block j, and brings that block in; `row_bytes` are one
// row's and `key_bytes` one key's, of all resident heads.
KeptRows kept_rows(const AttentionShape& x, const Tile& t, Bytes row_bytes, Bytes key_bytes,
                   const OnChip& chip) {
  const double offset = x.s_kv - x.s_q;
  const bool causal = x.causal || x.window > 0;
  const auto first = [&](double pass) {
    return causal ? std::clamp(pass * t.n - offset, 0.0, x.s_q) : 0;
  };
  const auto end = [&](double pass) {
    if (x.window <= 0) return x.s_q;
    return std::clamp((pass + 1) * t.n + x.window - 1 - offset, 0.0, x.s_q);
  };
  KeptRows rows;
  for (double pass = 1; pass < ceil_div(x.s_kv, t.n); ++pass) {
    const double again = std::max(0.0, end(pass - 1) - first(pass));
    const Bytes rest = (end(pass - 1) - first(pass - 1)) * row_bytes, keys = t.n * key_bytes;
    rows.read += again * l2_hit_own_rows(rest + keys, chip);
    rows.written += again * l2_hit_rewritten(rest + l2_taken(Reading::once) * keys, chip);
  }
  return rows;
}

}  // namespace

Cost flash_v1(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const Tile t = o.tile.value_or(
      flash_v1_tile(Bytes{o.sram_bytes} / Elements{1} / f.act_size(), std::max(x.d_qk, x.d_v)));
  const double heads = x.b * x.h_q, rows = heads * x.s_q;
  const TileCount c = count_tiles(x, 1, t.m, t.n);
  // Passes over the rows: T_c, less what the mask lets skip.
  const double passes = c.q_tiles > 0 ? c.visited / c.q_tiles : 0;
  const Bytes q = Elements{rows * x.d_qk} * f.act_size(),
              out = Elements{rows * x.d_v} * f.act_size();
  const Bytes stats{2 * 4 * rows};  // l and m
  const Bytes k = Elements{x.b * x.h_kv * x.s_kv * x.d_qk} * f.kv_size();
  const Bytes v = Elements{x.b * x.h_kv * x.s_kv * x.d_v} * f.kv_size();

  Work w = tile_work(heads * c.visited, t, x.d_qk, x.d_v, f);
  w.flops = product_flops(x, paper_pairs(x));
  w.read.kv = k + v;
  Bytes live = q + out + stats;
  if (o.backward) {
    w.flops = 2.5 * w.flops;
    w.flops_executed = 2.5 * w.flops_executed;  // S, dP, dV, dQ, dK against S, O
    w.smem = 2.5 * w.smem;
    w.exps = heads * c.visited * t.m * t.n;  // the statistics are final: no corrections
    w.read.activations = passes * (2 * q + 2 * out + stats);
    w.written.activations = passes * q + k + v;
    live = 2 * q + 2 * out + stats;
  } else {
    w.read.activations = passes * (q + out + stats);
    if (!o.initial_state) w.read.activations -= out + stats;
    w.written.activations = passes * (out + stats);
  }
  w.l2_to_sm = x.group() * w.read.kv + w.read.activations;
  w.fp32 += dequant_work(Elements{heads * x.s_kv * (x.d_qk + x.d_v)}, f.kv, f.math);
  w.ctas = heads;
  w.launches = 1;

  Cost cost{.work = w, .execution = execution_of(t)};
  const double resident = std::min(1.0, chip.num_sms * t.ctas_per_sm / heads);
  const Bytes row = x.s_q > 0 ? resident / x.s_q * live : Bytes{};
  const Bytes key = x.s_kv > 0 ? resident / x.s_kv * (k + v) : Bytes{};
  if (x.s_q > 0) {
    const KeptRows again = kept_rows(x, t, row, key, chip);
    cost.kept.read = again.read / x.s_q * live;
    cost.kept.written = again.written / x.s_q * (o.backward ? q : out + stats);
  }
  cost.handed_over = cost.kept.read + cost.kept.written;
  return cost;
}

}  // namespace kvroof::attention
