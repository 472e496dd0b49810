#include "model/attention/cascade.hpp"

#include <algorithm>

#include "model/attention/flash_decoding.hpp"

namespace kvroof::attention {

Cost cascade(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const double hidden = x.window > 0 ? std::max(0.0, x.s_kv - x.window) : 0;
  const double own = x.s_kv - std::clamp(o.shared_prefix, 0.0, x.s_kv - x.s_q);
  const double shared = x.s_kv - own - hidden;
  if (shared <= 0) return flash_decoding(x, f, chip, o);

  AttentionShape prefix = x, suffix = x;
  prefix.window = suffix.window = 0;
  prefix.b = 1, prefix.s_q = x.b * x.s_q, prefix.s_kv = shared;
  suffix.s_kv = own;
  const auto level = [&](const AttentionShape& s) {
    return decode(s, f, chip, decode_plan(s, chip, o));
  };
  const Cost first = level(prefix), second = level(suffix);

  const double rows = x.b * x.h_q * x.s_q;
  const Bytes q = Elements{rows * x.d_qk} * f.act_size(),
              out = Elements{rows * x.d_v} * f.act_size();
  const Bytes partials{2 * rows * 4 * (x.d_v + 1)};
  Cost c{.work = first.work + second.work, .execution = first.execution};
  Work& w = c.work;
  w.read.activations += partials - q;       // q is an input of both levels, once from HBM
  w.written.activations += partials - out;  // the levels write partials, the merge writes o
  w.l2_to_sm += partials;
  w.exps += 2 * rows;
  w.fp32 += Flops{2 * 2 * rows * x.d_v};
  w.launches += 1;
  c.handed_over = first.handed_over + second.handed_over;
  if (partials <= chip.l2_effective) c.handed_over += 2 * partials;
  return c;
}

}  // namespace kvroof::attention
