#include "model/attention/softmax.hpp"

#include <algorithm>

namespace kvroof::attention {

Cost softmax(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  constexpr int kRowsPerSm = 8;  // blocks of 256 threads
  const double rows = x.b * x.h_q * x.s_q, elements = rows * x.s_kv;
  const double walks = o.online ? 2 : 3, exps = o.online ? 3 : 2;
  const Bytes matrix = Elements{elements} * f.act_size();
  const Bytes active = std::min(1.0, 1.0 * kRowsPerSm * chip.num_sms / rows) * matrix;
  Work w;
  w.read.activations = w.written.activations = matrix;
  w.l2_to_sm = walks * matrix;
  if (active > chip.l2_effective) w.reread = (walks - 1) * matrix;
  w.exps = exps * elements;
  w.fp32 = Flops{2 * (exps + 3) * elements};
  w.ctas = rows;
  w.launches = 1;
  return {.work = w, .execution = {.ctas_per_sm = kRowsPerSm, .pipe_overlap = 1}};
}

}  // namespace kvroof::attention
