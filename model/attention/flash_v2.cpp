#include "model/attention/flash_v2.hpp"

#include <algorithm>

#include "model/attention/pipes.hpp"

namespace kvroof::attention {
namespace {

// FP32-pipe slots per score in the backward pass: exponent argument, dP - D, product with P, scale,
// and packing P and dS.
constexpr double kBackwardSlots = 5;

// Bytes that the five products of one tile move through shared memory. Eight warps stand in a grid
// of n / r by `across` over S^T, dO·V^T, dK and dV, of 2 by 4 over dQ; a warp reads the operands of
// its own r rows and of its own columns.
double backward_smem_bytes(const Tile& t, double d_qk, double d_v, double e) {
  const double m = t.m, n = t.n, along = n / t.mma_rows, across = 8 / along;
  const double recompute = (across * n + along * m) * (d_qk + d_v);    // S^T = K·Q^T, V·dO^T
  const double dk_dv = 2 * across * m * n + along * m * (d_qk + d_v);  // dS^T·Q, P^T·dO
  const double dq = 4 * m * n + 2 * n * d_qk;                          // dS·K
  return e * (recompute + dk_dv + dq + 2 * m * n);                     // P and dS written
}

Cost backward(const AttentionShape& x, const Formats& f, const OnChip& chip, const Tile& t) {
  const double heads = x.b * x.h_q, rows = heads * x.s_q;
  const TileCount c = count_tiles(x, 1, t.m, t.n);
  const double tiles = heads * c.visited, scores = tiles * t.m * t.n;
  const double e = operand_bytes(f.math), k_mma = 32 / e;
  const double d_qk = round_up(x.d_qk, k_mma), d_v = round_up(x.d_v, k_mma);
  const Bytes q = Elements{rows * x.d_qk} * f.act_size(),
              out = Elements{rows * x.d_v} * f.act_size();
  const Bytes kv = Elements{x.b * x.h_kv * x.s_kv * (x.d_qk + x.d_v)} * f.kv_size();
  const Bytes row_scalars{4 * rows}, accumulator{4 * rows * x.d_qk};
  const double key_passes = c.q_tiles > 0 ? c.visited / c.q_tiles : 0;

  Work w;
  w.flops = 2.5 * product_flops(x, paper_pairs(x));
  w.flops_executed = Flops{2 * scores * (3 * d_qk + 2 * d_v)};
  w.exps = scores;
  w.fp32 = Flops{2 * (kBackwardSlots * scores + rows * x.d_v)};
  w.smem = Bytes{tiles * backward_smem_bytes(t, x.d_qk, x.d_v, e)};
  // Where L2 does not hold what one kernel leaves for the next, the main kernel fetches dO again
  // and brings the accumulator in from its zeros and out again.
  const double d_o_reads = 2 * out <= chip.l2_effective ? 1 : 2;
  const double trips = accumulator <= chip.l2_effective ? 1 : 2;
  w.read = {.kv = kv,
            .activations = q + (1 + d_o_reads) * out + 2 * row_scalars + trips * accumulator};
  w.written.activations = q + kv + row_scalars + trips * accumulator;
  w.l2_to_sm = key_passes * (q + out + 2 * row_scalars) + kv + 2 * out + accumulator;
  w.ctas = x.b * x.h_kv * ceil_div(x.s_kv, t.n);  // the heads of a group one after another
  w.launches = 3;
  Cost cost{.work = w, .execution = execution_of(t)};
  if (accumulator <= chip.l2_effective) cost.handed_over = 2 * (accumulator + row_scalars);
  return cost;
}

}  // namespace

Tile flash_v2_tile(double d) {
  // 128 threads: two blocks an SM; a warp owns 16 or 32 rows and reads all of K and V.
  if (d <= 64) return {.m = 128, .n = 128, .ctas_per_sm = 2, .mma_rows = 32, .mma_sync = true};
  if (d <= 128) return {.m = 128, .n = 64, .ctas_per_sm = 2, .mma_rows = 32, .mma_sync = true};
  if (d <= 192) return {.m = 128, .n = 64, .ctas_per_sm = 1, .mma_rows = 16, .mma_sync = true};
  return {.m = 64, .n = 64, .ctas_per_sm = 2, .mma_rows = 16, .mma_sync = true};
}

Tile flash_v2_backward_tile(double d) {
  if (d <= 64) return {.m = 128, .n = 128, .p_in_smem = true, .mma_rows = 32, .mma_sync = true};
  if (d <= 128) return {.m = 64, .n = 128, .p_in_smem = true, .mma_rows = 32, .mma_sync = true};
  return {.m = 64, .n = 64, .p_in_smem = true, .mma_rows = 32, .mma_sync = true};
}

Cost flash_v2(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const double d = std::max(x.d_qk, x.d_v);
  if (o.backward) return backward(x, f, chip, o.tile.value_or(flash_v2_backward_tile(d)));
  return forward(x, f, chip, {.tile = o.tile.value_or(flash_v2_tile(d)), .lse = o.lse});
}

}  // namespace kvroof::attention
