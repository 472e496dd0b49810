#include "model/attention/softmax.hpp"

#include <algorithm>

namespace kvroof::attention {

Cost softmax(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const Tile t = o.tile.value_or(Tile{.m = 1, .n = 1, .ctas_per_sm = 8, .row_lanes = 0});
  const double rows = x.b * x.h_q * x.s_q, elements = rows * x.s_kv;
  const double walks = o.online ? 2 : 3;
  const double row = o.tile ? round_up(x.s_kv, 32. * t.n) : x.s_kv;
  const Bytes matrix = Elements{elements} * f.act_size();
  const Bytes active = std::min(1.0, 1.0 * t.ctas_per_sm * chip.num_sms / rows) * matrix;
  const Bytes between = (1 + kWriteCopies) / walks * active;  // two walks of a row
  Work w;
  w.read.activations = w.written.activations = matrix;
  w.l2_to_sm = walks * matrix;
  const bool in_step = rows <= 1.0 * t.ctas_per_sm * chip.num_sms;  // all blocks start together
  const double hit = in_step ? l2_hit_own_rows(between, chip) : l2_hit_unordered(between, chip);
  w.reread = (walks - 1) * (1 - hit) * matrix;
  const double scaling = std::min(1. * t.row_lanes, row / t.n),
               merging = o.online ? t.row_lanes : 0;
  w.exps = rows * ((o.online ? 2 + 1. / t.n : 2) * row + merging + scaling);
  w.fp32 = Flops{2 * (w.exps + 3 * elements)};
  w.ctas = rows;
  w.launches = 1;
  return {.work = w, .execution = {.ctas_per_sm = t.ctas_per_sm, .pipe_overlap = 1}};
}

}  // namespace kvroof::attention
