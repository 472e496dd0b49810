#include "model/attention/paged_decode.hpp"

namespace kvroof::attention {

double pages(double s_kv, double block_size) { return ceil_div(s_kv, block_size); }

double wasted_slots(double s_kv, double block_size) {
  return pages(s_kv, block_size) * block_size - s_kv;
}

Cost paged_decode(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const double tokens = visible_tokens(x);
  Options plan_options = o;
  if (o.paged_version == 1) plan_options.splits = 1;
  else if (o.partition > 0) plan_options.splits = ceil_div(tokens, o.partition);
  DecodePlan plan = decode_plan(x, chip, plan_options);
  if (o.paged_version == 2 && o.partition > 0) plan.partial = f.act_size(), plan.stats = 8;

  Cost c = decode(x, f, chip, plan);
  const Bytes table{4 * x.b * pages(tokens, o.block_size)};
  const double rows = x.s_q * (plan.packed ? x.group() : 1);
  const double readers = (plan.packed ? x.h_kv : x.h_q) * ceil_div(rows, plan.tile.m);
  c.work.read.kv += table;
  c.work.l2_to_sm += readers * table;
  return c;
}

}  // namespace kvroof::attention
