#include "model/attention/cascade.hpp"

#include <algorithm>

#include "model/attention/flash_decoding.hpp"
#include "model/attention/paged_decode.hpp"

namespace kvroof::attention {
namespace {

// One level: decode whose splits write partial results; the merge counts those.
Cost level(const AttentionShape& x, const Formats& f, const OnChip& chip, const Tile& t,
           double splits) {
  Cost c = decode(x, f, chip, {.tile = t, .splits = 1});
  const double rows = x.s_q * x.group();
  c.work.l2_to_sm += (splits - 1) * c.work.read.activations;  // every split loads its rows of q
  c.work.exps += x.b * x.h_kv * (splits - 1) * row_end_exps(rows, t, x.d_v);
  c.work.ctas *= splits;
  return c;
}

}  // namespace

std::array<Cost, 3> cascade_kernels(const AttentionShape& x, const Formats& f, const OnChip& chip,
                                    double shared, double page, const CascadePlan& plan) {
  AttentionShape prefix = x, suffix = x;
  prefix.b = 1, prefix.s_q = x.b * x.s_q, prefix.s_kv = shared;
  suffix.s_kv = x.s_kv - shared;
  Cost first = level(prefix, f, chip, plan.prefix, plan.prefix_splits);
  Cost second = level(suffix, f, chip, plan.suffix, plan.suffix_splits);

  const double rows = x.b * x.h_q * x.s_q, parts = plan.prefix_splits + plan.suffix_splits;
  const Bytes q = Elements{rows * x.d_qk} * f.act_size(),
              out = Elements{rows * x.d_v} * f.act_size();
  const Bytes part{rows * 4 * (x.d_v + 1)}, of_prefix = plan.prefix_splits * part,
                                            of_suffix = plan.suffix_splits * part,
                                            partials = of_prefix + of_suffix;
  // The levels write partial results and the merge writes o; the second finds q in L2.
  first.work.written.activations += of_prefix - out;
  second.work.written.activations += of_suffix - out;
  second.work.read.activations -= q;
  if (page > 0) {
    const Bytes shared_table{4 * pages(shared, page)};
    const Bytes own_table{4 * x.b * pages(suffix.s_kv, page)};
    first.work.read.kv += shared_table, second.work.read.kv += own_table;
    first.work.l2_to_sm += first.work.ctas / plan.prefix_splits * shared_table;
    second.work.l2_to_sm += x.h_kv * own_table;
  }
  Cost merge{.work = {.l2_to_sm = partials,
                      .exps = combine_exps(rows, parts, plan.suffix, x.d_v),
                      .fp32 = Flops{2 * parts * rows * x.d_v},
                      .ctas = rows,
                      .launches = 1},
             .execution = {.ctas_per_sm = plan.merge_ctas_per_sm}};
  merge.work.read.activations = partials, merge.work.written.activations = out;
  // The suffixes stream through L2 between the prefix's partial results and the merge, and past the
  // first of their own.
  const Bytes stream = second.work.read.kv;
  const Bytes kept_prefix = l2_hit(stream + partials, chip) * of_prefix;
  const double kept_suffix = std::min(1.0, chip.l2_effective / (stream + of_suffix));
  merge.handed_over = kept_prefix + kept_suffix * of_suffix;
  return {first, second, merge};
}

Cost cascade(const AttentionShape& x, const Formats& f, const OnChip& chip, double shared,
             double page, const CascadePlan& plan) {
  const auto [first, second, merge] = cascade_kernels(x, f, chip, shared, page, plan);
  Cost c{.work = first.work + second.work + merge.work, .execution = first.execution};
  c.work.ctas = first.work.ctas + second.work.ctas;
  c.handed_over = 2 * merge.handed_over;
  return c;
}

Cost cascade(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const double hidden = x.window > 0 ? std::max(0.0, x.s_kv - x.window) : 0;
  const double own = x.s_kv - std::clamp(o.shared_prefix, 0.0, x.s_kv - x.s_q);
  const double shared = x.s_kv - own - hidden;
  if (shared <= 0) return flash_decoding(x, f, chip, o);

  AttentionShape prefix = x, suffix = x;
  prefix.window = suffix.window = 0;
  prefix.b = 1, prefix.s_q = x.b * x.s_q, prefix.s_kv = shared;
  suffix.s_kv = own;
  const DecodePlan first = decode_plan(prefix, chip, o), second = decode_plan(suffix, chip, o);
  AttentionShape seen = x;
  seen.window = 0, seen.s_kv = shared + own;
  return cascade(seen, f, chip, shared, 0,
                 {.prefix = first.tile,
                  .suffix = second.tile,
                  .prefix_splits = first.splits,
                  .suffix_splits = second.splits});
}

}  // namespace kvroof::attention
