#include "model/attention/linear.hpp"

#include <algorithm>

namespace kvroof::attention {

Cost linear(const AttentionShape& x, const Formats& f, const OnChip&, const Options& o) {
  const double state_products = 2 * x.d_qk * x.d_v;
  const double chunk = std::min(o.chunk, x.s_q), tokens = x.b * x.s_q;
  const auto products = [&](double rows, double square) {
    return Flops{rows *
                 (x.h_q * (square * (x.d_qk + x.d_v) + state_products) + x.h_kv * state_products)};
  };
  const Bytes state{4 * x.b * x.h_kv * x.d_qk * x.d_v};
  const bool single = x.s_q == 1, past = x.s_kv > x.s_q;

  Work w;
  w.flops = products(tokens, single ? 0 : chunk);
  if (single) w.fp32 = w.flops;
  else w.flops_executed = products(x.b * round_up(x.s_q, chunk), 2 * chunk);
  w.read.kv = past ? state : Bytes{};
  w.written.kv = state;
  w.read.activations =
      Elements{tokens * (x.h_q * x.d_qk + x.h_kv * (x.d_qk + x.d_v))} * f.act_size();
  w.written.activations = Elements{tokens * x.h_q * x.d_v} * f.act_size();
  w.l2_to_sm = w.hbm_read();
  w.ctas = x.b * x.h_kv;
  w.launches = 1;
  return {.work = w, .execution = {.ctas_per_sm = 2, .pipe_overlap = 1, .mma_sync = true}};
}

}  // namespace kvroof::attention
