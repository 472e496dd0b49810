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

Cost cascade(const AttentionShape& x, const Formats& f, const OnChip& chip, double shared,
             double page, const CascadePlan& plan) {
  AttentionShape prefix = x, suffix = x;
  prefix.b = 1, prefix.s_q = x.b * x.s_q, prefix.s_kv = shared;
  suffix.s_kv = x.s_kv - shared;
  const Cost first = level(prefix, f, chip, plan.prefix, plan.prefix_splits);
  const Cost second = level(suffix, f, chip, plan.suffix, plan.suffix_splits);

  const double rows = x.b * x.h_q * x.s_q, parts = plan.prefix_splits + plan.suffix_splits;
  const Bytes q = Elements{rows * x.d_qk} * f.act_size(),
              out = Elements{rows * x.d_v} * f.act_size();
  const Bytes partials{parts * rows * 4 * (x.d_v + 1)};
  Cost c{.work = first.work + second.work, .execution = first.execution};
  Work& w = c.work;
  w.read.activations += partials - q;       // q is an input of both levels, once from HBM
  w.written.activations += partials - out;  // the levels write partials, the merge writes o
  w.l2_to_sm += partials;
  w.exps += combine_exps(rows, parts, plan.suffix, x.d_v);
  w.fp32 += Flops{2 * parts * rows * x.d_v};
  w.launches += 1;
  if (page > 0) {
    const Bytes shared_table{4 * pages(shared, page)};
    const Bytes own_table{4 * x.b * pages(suffix.s_kv, page)};
    w.read.kv += shared_table + own_table;
    w.l2_to_sm += first.work.ctas / plan.prefix_splits * shared_table + x.h_kv * own_table;
  }
  // The suffixes stream through L2 between the prefix's partial results and the merge, and past the
  // first of their own.
  const Bytes stream = second.work.read.kv;
  const Bytes of_prefix = plan.prefix_splits / parts * partials, of_suffix = partials - of_prefix;
  const Bytes kept_prefix = l2_hit(stream + partials, chip) * of_prefix;
  const double kept_suffix = std::min(1.0, chip.l2_effective / (stream + of_suffix));
  c.handed_over = 2 * (kept_prefix + kept_suffix * of_suffix);
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
