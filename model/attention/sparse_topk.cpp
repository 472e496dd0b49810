#include "model/attention/sparse_topk.hpp"

#include <algorithm>

#include "model/attention/mla_decode.hpp"

namespace kvroof::attention {
namespace {

constexpr double kSector = 32;  // bytes; the unit of L2 and HBM transfers

Bytes token_bytes(const AttentionShape& x, Dtype kv) {
  const bool latent = x.h_kv == 1 && x.d_v < x.d_qk;
  const Bytes packed = latent ? mla_token_bytes(x.d_v, x.d_qk - x.d_v, kv)
                              : Elements{x.d_qk + x.d_v} * element_size(kv);
  return Bytes{round_up(packed.value, kSector)};
}

// Scores of all cached tokens, and the selection of the best.
Work indexer(const AttentionShape& x, const Options& o, double k) {
  const double queries = x.b * x.s_q, pairs = x.s_q > 1 ? paper_pairs(x) : x.s_kv;
  const double depth = o.index_heads * o.index_dim;
  const Bytes scores{4 * queries * x.s_kv}, chosen{4 * queries * k};
  Work w;
  w.flops = Flops{2 * x.b * pairs * depth};
  w.flops_executed = Flops{2 * x.b * x.s_q * round_up(x.s_kv, 64) * depth};
  w.fp32 = Flops{2 * 2 * queries * x.s_kv * o.index_heads};  // ReLU and the weighted sum over heads
  w.read.kv = Bytes{x.b * x.s_kv * (o.index_dim + 4)};
  w.read.activations = Bytes{queries * (depth + 4 * o.index_heads)} + scores;
  w.written.activations = scores + chosen;
  w.l2_to_sm = w.hbm_read();
  w.ctas = x.b * x.s_q * ceil_div(x.s_kv, 64);
  w.launches = 2;
  return w;
}

}  // namespace

Cost sparse_topk(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const double k = std::min(o.top_k, x.s_kv);
  AttentionShape chosen = x;  // every query is a request with a cache of its own
  chosen.b = x.b * x.s_q, chosen.s_q = 1, chosen.s_kv = k, chosen.window = 0;
  const double tokens = chosen.b * x.h_kv * k;
  const Bytes gathered = tokens * token_bytes(x, f.kv);
  const Elements elements{tokens * (x.h_kv == 1 && x.d_v < x.d_qk ? x.d_qk : x.d_qk + x.d_v)};
  Cost c = decode(chosen, f, chip, decode_plan(chosen, chip, o), gathered, elements);

  const Bytes indices{4 * chosen.b * k};
  c.work.read.kv *= std::min(1.0, x.s_kv / (x.s_q * k));
  c.work.read.activations += indices;
  c.work.l2_to_sm += x.h_kv * indices;
  c.work += indexer(x, o, k);
  const Bytes scores{4 * x.b * x.s_q * x.s_kv};
  if (scores <= chip.l2_effective) c.handed_over += 2 * (scores + indices);
  return c;
}

}  // namespace kvroof::attention
