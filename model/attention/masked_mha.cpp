#include "model/attention/masked_mha.hpp"

#include "model/attention/split_kv.hpp"

namespace kvroof::attention {

Cost masked_mha(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  Options alone = o;
  alone.packed_group = false, alone.splits = 1;
  const DecodePlan plan = decode_plan(x, chip, alone);
  Cost c = decode(x, f, chip, plan);
  const double slots = info(f.kv).bits < 16 ? 6 : 1;
  c.work.flops_executed = c.work.flops;  // nothing is padded to tensor-core tiles
  c.work.fp32 += Flops{2 * slots * x.b * x.h_q * x.s_q * visible_tokens(x) * (x.d_qk + x.d_v)};
  c.execution.pipe_overlap = 1;
  return c;
}

}  // namespace kvroof::attention
