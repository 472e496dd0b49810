#include "model/attention/pipes.hpp"

namespace kvroof::attention {

double operand_bytes(MathType math) {
  switch (math) {
    case MathType::fp32:
    case MathType::tf32:
      return 4;
    case MathType::bf16:
    case MathType::fp16:
      return 2;
    case MathType::fp8:
    case MathType::int8:
      return 1;
    case MathType::fp4:
      return 0.5;
  }
  return 2;
}

double tile_smem_bytes(const Tile& t, double d_qk, double d_v, double e) {
  const double m = t.m, n = t.n, reads = m / t.mma_rows, groups = t.col_groups;
  const double qk = groups * m * d_qk + reads * n * d_qk;
  const double pv = reads * n * d_v;
  const double p = t.p_in_smem ? (1 + groups) * m * n : 0;
  return e * (qk + pv + p);
}

PipeCycles pipe_cycles(const Tile& tile, double d, const PipeRates& rates, bool p_in_smem,
                       double e) {
  Tile t = tile;
  t.p_in_smem = p_in_smem;
  const double scores = 1.0 * t.m * t.n;
  return {.mma = 4 * scores * d / rates.mma_flops,
          .exp = scores / rates.exps,
          .smem = tile_smem_bytes(t, d, d, e) / rates.smem_bytes};
}

Step step_cycles(const Tile& t, double d_qk, double d_v, double e, const PipeRates& rates,
                 const StepPlan& plan) {
  const double rows = plan.rows_each * plan.warpgroups, scores = rows * t.n;
  const double each = plan.rows_each * t.n / 128;  // scores of one warp, in units of 32
  Tile whole = t;
  whole.m = static_cast<int>(rows);
  Step s;
  s.mma = 2 * scores * (d_qk + d_v) / rates.mma_flops;
  s.exp = (1 - plan.poly_share) * scores / rates.exps;
  s.smem = tile_smem_bytes(whole, d_qk, d_v, e) / rates.smem_bytes;
  const double w = plan.warpgroups;
  const double poly = plan.poly_share * plan.poly_slots * (w + plan.fma_displaces * (w - 1));
  s.chain = plan.products * s.mma / w + plan.exp_slowdown * s.exp +
            each * (plan.own + (plan.rescales ? d_v / t.n : 0) + poly) + plan.waits;
  s.mask = kMaskInstructions * each * w;
  return s;
}

}  // namespace kvroof::attention
