#include "model/attention/linear.hpp"

#include <algorithm>

namespace kvroof::attention {

Cost linear(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const double cells = x.d_qk * x.d_v, heads = std::max(x.h_q, x.h_kv);
  const double chunk = std::min(o.chunk, x.s_q), tokens = x.b * x.s_q;
  const bool single = x.s_q == 1, past = x.s_kv > x.s_q;
  // `square`: keys of its own chunk that a token meets, on average.
  const auto products = [&](double rows, double square) {
    double per_token = heads * (square * (x.d_qk + x.d_v) + 2 * cells) + x.h_kv * 2 * cells;
    if (o.delta_rule)
      per_token += x.h_kv * (single ? 3 * cells : square * (2 * x.d_qk + x.d_v) + 2 * cells);
    return Flops{rows * per_token};
  };
  const Bytes state{4 * x.b * x.h_kv * cells};

  Work w;
  w.flops = products(tokens, single ? 0 : chunk);
  if (single) w.fp32 = w.flops;
  else w.flops_executed = products(x.b * round_up(x.s_q, chunk), 2 * chunk);
  w.read.kv = past ? state : Bytes{};
  w.written.kv = state;
  const double k_heads = std::min(x.h_q, x.h_kv);
  w.read.activations =
      Elements{tokens * ((x.h_q + k_heads) * x.d_qk + x.h_kv * x.d_v)} * f.act_size();
  w.written.activations = Elements{tokens * heads * x.d_v} * f.act_size();
  w.ctas = x.b * x.h_kv;
  w.launches = 1;
  Cost c{.work = w, .execution = {.ctas_per_sm = 2, .pipe_overlap = 1, .mma_sync = true}};
  if (o.delta_rule && !single) {
    const Bytes between =
        Elements{tokens * x.h_kv * (x.d_qk + x.d_v + cells / chunk + chunk)} * f.act_size();
    c.work.read.activations += between;
    c.work.written.activations += between;
    c.work.launches = 6;
    if (between <= chip.l2_effective) c.handed_over = 2 * between;
  }
  c.work.l2_to_sm = c.work.hbm_read();
  return c;
}

}  // namespace kvroof::attention
