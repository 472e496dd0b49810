#include "model/attention/flash_v2.hpp"

#include <algorithm>

#include "model/attention/pipes.hpp"

namespace kvroof::attention {
namespace {

// FP32-pipe slots per score in the backward pass: exponent argument, dP - D, product with P, scale,
// and packing P and dS.
constexpr double kBackwardSlots = 5;

// What a byte of Q, dO and dQ's sum takes of L2 in the main kernel: sums have no copy in the half
// that does not own them, because adds go to where a line lives. Fitted on the DRAM reads and
// writes of flash_backward without a mask, d 128 and 256, s_q 2048 and 8192.
constexpr double kSumCopies = 0.62;

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
  Cost sum;
  for (const Cost& kernel : flash_v2_backward_kernels(x, f, chip, t)) {
    sum.work += kernel.work, sum.handed_over += kernel.handed_over;
    if (kernel.work.flops > Flops{}) sum.execution = kernel.execution;
  }
  sum.work.ctas = x.b * x.h_kv * ceil_div(x.s_kv, t.n);  // of the main kernel
  return sum;
}

}  // namespace

Tile flash_v2_tile(double d) {
  // 128 threads: two blocks an SM; a warp owns 16 or 32 rows and reads all of K and V.
  if (d <= 64) return {.m = 128, .n = 128, .ctas_per_sm = 2, .mma_rows = 32, .mma_sync = true};
  if (d <= 128) return {.m = 128, .n = 64, .ctas_per_sm = 2, .mma_rows = 32, .mma_sync = true};
  if (d <= 192) return {.m = 128, .n = 64, .ctas_per_sm = 1, .mma_rows = 16, .mma_sync = true};
  return {.m = 64, .n = 64, .ctas_per_sm = 2, .mma_rows = 16, .mma_sync = true};
}

std::array<Cost, 3> flash_v2_backward_kernels(const AttentionShape& x, const Formats& f,
                                              const OnChip& chip, const Tile& t) {
  const double heads = x.b * x.h_q, rows = heads * x.s_q;
  const TileCount c = count_tiles(x, 1, t.m, t.n);
  const double tiles = heads * c.visited, scores = tiles * t.m * t.n;
  const double e = operand_bytes(f.math), k_mma = 32 / e;
  const double d_qk = round_up(x.d_qk, k_mma), d_v = round_up(x.d_v, k_mma);
  const Bytes q = Elements{rows * x.d_qk} * f.act_size(),
              out = Elements{rows * x.d_v} * f.act_size();
  const Bytes kv = Elements{x.b * x.h_kv * x.s_kv * (x.d_qk + x.d_v)} * f.kv_size();
  const Bytes row_scalars{4 * rows}, accumulator{4 * rows * x.d_qk};
  const double query_blocks = heads * c.q_tiles, key_blocks = ceil_div(x.s_kv, t.n);
  const double key_passes = c.q_tiles > 0 ? c.visited / c.q_tiles : 0;
  // Where L2 does not hold what one kernel leaves for the next, the main kernel fetches dO again
  // and brings the accumulator in from its zeros and out again.
  const bool d_o_stays = 2 * out <= chip.l2_effective, sum_stays = accumulator <= chip.l2_effective;
  const Bytes again = sum_stays ? Bytes{} : accumulator;
  const Execution streams{.ctas_per_sm = 8};
  // Waves of key blocks go through Q, dO and the sums of a K/V head as forward blocks through K/V.
  const double kv_heads = x.b * x.h_kv;
  const Bytes stream = kSumCopies / kv_heads * (q + out + accumulator),
              own = (1 + kWriteCopies) / (kv_heads * key_blocks) * kv;
  const double lag = x.causal ? 1 - x.s_q / x.s_kv : 1;
  const double refetched =
      sum_stays ? 0 : wave_refetches(stream, kv_heads, key_blocks, own, lag, t, chip) / kv_heads;

  Work prepare{.written = {.activations = row_scalars + accumulator},
               .l2_to_sm = 2 * out,
               .fp32 = Flops{2 * rows * x.d_v},
               .ctas = query_blocks,
               .launches = 1};
  prepare.read.activations = 2 * out;
  Work main{.flops = 2.5 * product_flops(x, paper_pairs(x)),
            .flops_executed = Flops{2 * scores * (3 * d_qk + 2 * d_v)},
            .l2_to_sm = key_passes * (q + out + 2 * row_scalars) + kv,
            .l2_added = Bytes{4 * tiles * t.m * d_qk},
            .exps = scores,
            .fp32 = Flops{2 * kBackwardSlots * scores},
            .smem = Bytes{tiles * backward_smem_bytes(t, x.d_qk, x.d_v, e)},
            .ctas = x.b * x.h_kv * key_blocks,  // the heads of a group one after another
            .launches = 1};
  main.read = {.kv = kv, .activations = q + (d_o_stays ? Bytes{} : out) + 2 * row_scalars + again};
  main.reread = refetched * (q + out + accumulator);
  main.written.activations = kv + again + refetched * accumulator;
  Work finish{.l2_to_sm = accumulator, .ctas = query_blocks, .launches = 1};
  finish.read.activations = accumulator, finish.written.activations = q;

  std::array<Cost, 3> kernels{Cost{.work = prepare, .execution = streams},
                              Cost{.work = main, .execution = execution_of(t)},
                              Cost{.work = finish, .execution = streams}};
  // The first key tile sees all rows, the last one a tile of them.
  if (c.visited > 0)
    kernels[1].execution.longest = std::max(1.0, c.q_tiles * key_blocks / c.visited);
  if (sum_stays) {
    kernels[0].handed_over = accumulator + row_scalars;
    kernels[1].handed_over = row_scalars;
    kernels[2].handed_over = accumulator;
  }
  return kernels;
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
