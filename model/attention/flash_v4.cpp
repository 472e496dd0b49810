#include "model/attention/flash_v4.hpp"

namespace kvroof::attention {
namespace {

constexpr double kOverlap = 0.75;    // see the header
constexpr double kPolyShare = 0.15;  // see the header

}  // namespace

Tile flash_v4_tile() { return {.m = 256, .n = 128, .mma_rows = 128, .overlap = kOverlap}; }

Cost flash_v4(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const Tile t = o.tile.value_or(flash_v4_tile());
  const bool packed = x.group() > 1 && should_pack(x.s_q, x.group(), t.m);
  Cost c =
      forward(x, f, chip,
              {.tile = t, .packed = packed, .sinks = o.sinks, .lse = o.lse, .q_leaves_l2 = true});
  const double tiles = c.work.exps / (1.0 * t.m * (t.n + t.row_lanes));
  const double scores = tiles * t.m * t.n, rows = tiles * t.m;
  const double share = o.poly_share.value_or(kPolyShare), kept = 1 - o.rescale_share;
  c.work.exps -= share * scores + kept * rows * t.row_lanes;
  c.work.fp32 += Flops{2 * (kPolySlots * share * scores - kept * rows * x.d_v)};
  return c;
}

Step flash_v4_step(double d_qk, double d_v, const PipeRates& rates, double poly_share) {
  return step_cycles(flash_v4_tile(), d_qk, d_v, 2, rates,
                     {.warpgroups = 2,
                      .rows_each = 128,
                      .products = 0,
                      .rescales = false,
                      .poly_share = poly_share,
                      .poly_slots = kPackedPolySlots,
                      .fma_displaces = 0});
}

ExpCycles exp_cycles(const Tile& t, const PipeRates& rates, double poly_share) {
  const double scores = 1.0 * t.m * t.n;
  return {.exp = (1 - poly_share) * scores / rates.exps,
          .fma = poly_share * kPolySlots * scores / rates.fp32_lanes};
}

PipeCycles backward_cycles(double m, double n, double d, const PipeRates& rates, int ctas) {
  constexpr double kOperand = 2, kAccumulator = 4;  // bytes: bf16, fp32
  const double a = 2 * n * d + m * n;
  const double b = 4 * m * d + n * d;
  const double operands = kOperand * (a + b / ctas + m * n);
  const double dq = kAccumulator * 2 * m * d;
  return {.mma = 10 * m * n * d / rates.mma_flops,
          .exp = m * n / rates.exps,
          .smem = (operands + dq) / rates.smem_bytes};
}

}  // namespace kvroof::attention
