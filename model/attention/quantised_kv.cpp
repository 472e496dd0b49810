#include "model/attention/quantised_kv.hpp"

#include <algorithm>

namespace kvroof::attention {

Cost quantised_kv(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const double visible = visible_tokens(x), recent = std::min(o.high_precision, visible);
  const double heads = x.b * x.h_kv;
  const Dtype v_format = o.v_format.value_or(f.kv);
  const Elements high{heads * recent * (x.d_qk + x.d_v)};
  const Elements k{heads * (visible - recent) * x.d_qk}, v{heads * (visible - recent) * x.d_v};
  const DecodePlan plan = decode_plan(x, chip, o);
  Cost cost = decode(x, f, chip, plan,
                     high * f.act_size() + k * f.kv_size() + v * element_size(v_format), k);
  const double scans =
      ceil_div(x.s_q * (plan.packed ? x.group() : 1), plan.tile.m) * (plan.packed ? 1 : x.group());
  cost.work.fp32 += dequant_work(scans * v, v_format, f.math);
  if (recent > 0 && o.recent_tile) {
    const auto walked = [&](const Tile& t) {
      const double rows = x.s_q * x.group();
      Work w = tile_work(heads * ceil_div(rows, t.m) * ceil_div(recent, t.n), t, x.d_qk, x.d_v, f);
      w.exps += heads * row_end_exps(rows, t, x.d_v);
      return w;
    };
    const Work own = walked(*o.recent_tile), counted = walked(plan.tile);
    cost.work.flops_executed += own.flops_executed - counted.flops_executed;
    cost.work.exps += own.exps - counted.exps;
    cost.work.fp32 += own.fp32 - counted.fp32;
    cost.work.smem += own.smem - counted.smem;
  }
  return cost;
}

}  // namespace kvroof::attention
