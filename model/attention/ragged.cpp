#include "model/attention/ragged.hpp"

#include <algorithm>

#include "model/attention/flash_v3.hpp"

namespace kvroof::attention {
namespace {

// The blocks of one K/V stream start in pairs one after another. With `slots` blocks at work, a
// stream of c blocks meets (c - 2) / slots ends of a wave on average, and the blocks behind one
// read the stream again, unless L2 holds all streams at work.
Bytes straggler_reread(const AttentionShape& x, const Formats& f, const Tile& t, double slots,
                       const OnChip& chip) {
  const double blocks = ceil_div(x.s_q * x.group(), t.m);
  const Bytes stream = Elements{visible_tokens(x) * (x.d_qk + x.d_v)} * f.kv_size();
  return std::max(0.0, blocks - 2) / slots * (1 - l2_hit(slots / blocks * stream, chip)) * stream;
}

}  // namespace

Cost ragged(std::span<const RequestGroup> groups, const AttentionShape& heads, const Formats& f,
            const OnChip& chip, const Options& o) {
  const bool local = heads.window > 0;
  const Tile t = o.tile.value_or(flash_v3_tile(heads.d_qk, heads.d_v, true, local, f.math));
  const double slots = 1.0 * chip.num_sms * t.ctas_per_sm;
  Cost sum{.execution = execution_of(t)};
  Bytes stragglers;
  double longest = 0, tiles = 0;  // key tiles of the longest block, and of all
  for (const RequestGroup& g : groups) {
    AttentionShape x = heads;
    x.b = g.requests, x.s_q = g.s_q, x.s_kv = g.s_kv(), x.causal = true;
    Work w = forward(x, f, chip, {.tile = t, .packed = true, .sinks = o.sinks, .lse = o.lse}).work;
    Bytes side{8 * g.requests};
    if (o.tree_mask) side += Bytes{g.requests * g.s_q * std::ceil(g.s_q / 8)};
    w.read.activations += side;
    w.l2_to_sm += x.h_kv * side;
    if (ceil_div(x.s_q * x.group(), t.m) <= slots) {  // a longer stream is kv_reread's
      stragglers += x.b * x.h_kv * straggler_reread(x, f, t, slots, chip);
      w.reread = Bytes{};
    }
    sum.work += w;
    longest = std::max(longest, ceil_div(x.s_kv, t.n));
    tiles += x.b * x.h_kv * count_tiles(x, x.group(), t.m, t.n, o.sinks).visited;
  }
  sum.execution.longest = tiles > 0 ? std::max(1.0, longest * sum.work.ctas / tiles) : 1;
  sum.execution.longest_first = true;
  if (sum.work.ctas > slots) sum.work.reread += stragglers;
  sum.work.launches = 1;
  return sum;
}

Cost ragged(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const RequestGroup group{.requests = x.b, .s_q = x.s_q, .cached = x.s_kv - x.s_q};
  return ragged(std::span(&group, 1), x, f, chip, o);
}

double chunked_kv_tokens(double s, double chunk) {
  const double whole = std::floor(s / chunk);
  return chunk * whole * (whole + 1) / 2 + (whole * chunk < s ? s : 0);
}

}  // namespace kvroof::attention
