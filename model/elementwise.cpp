#include "model/elementwise.hpp"

#include <cmath>

namespace kvroof::elementwise {
namespace {

/// One pass kernel chain: `reads` and `writes` elements of format a, `ops` FP32 operations each.
Work passes(double reads, double writes, ElementSize a, double fp32, double launches) {
  Work w;
  w.read.activations = Elements{reads} * a;
  w.written.activations = Elements{writes} * a;
  w.l2_to_sm = w.read.activations;
  w.fp32 = Flops{fp32};
  w.launches = launches;
  return w;
}

/// Adds the weights of a norm: from HBM once, from L2 once a thread block.
Work with_weights(Work w, double elements, ElementSize a, double blocks) {
  w.read.weights = Elements{elements} * a;
  w.l2_to_sm += blocks * w.read.weights;
  w.ctas = blocks;
  return w;
}

}  // namespace

Work norm(double tokens, double d, ElementSize a, bool bias, double blocks) {
  const Work w = passes(tokens * d, tokens * d, a, 4 * tokens * d, 1);
  return with_weights(w, bias ? 2 * d : d, a, blocks > 0 ? blocks : tokens);
}

Work residual_norm(double tokens, double d, ElementSize a, bool bias, bool fused, double blocks) {
  const double x = tokens * d;
  const Work w = fused ? passes(2 * x, 2 * x, a, 5 * x, 1) : passes(3 * x, 2 * x, a, 5 * x, 2);
  return with_weights(w, bias ? 2 * d : d, a, blocks > 0 ? blocks : tokens);
}

Work activation(double tokens, double d_ff, ElementSize a, bool gated, bool fused, double blocks) {
  const double x = tokens * d_ff;
  Work w = !gated  ? passes(x, x, a, 8 * x, 1)
           : fused ? passes(2 * x, x, a, 8 * x, 1)
                   : passes(3 * x, 2 * x, a, 8 * x, 2);
  w.exps = 2 * x;
  w.ctas = blocks > 0 ? blocks : tokens;
  return w;
}

Work gate(double tokens, double d, ElementSize a) {
  const double x = tokens * d;
  Work w = passes(2 * x, x, a, 8 * x, 1);
  w.exps = 2 * x;
  w.ctas = tokens;
  return w;
}

Work causal_conv(double tokens, double requests, double channels, double conv, ElementSize a) {
  const double x = tokens * channels;
  Work w = passes(x, x, a, (2 * conv + 4) * x, 1);
  const Bytes past = Elements{requests * channels * (conv - 1)} * a;
  w.read.kv = w.written.kv = past;
  w.read.weights = Elements{channels * conv} * a;
  w.l2_to_sm += past;
  w.exps = 2 * x;
  w.ctas = tokens;
  return w;
}

Work rope_append(double tokens, double q, double kv, Bytes cached, ElementSize a,
                 double norm_weights, bool fused, const RopeTable& table) {
  const double all = tokens * (q + kv);
  // Unfused: q and k (half of k + v) are rotated in place first, then k and v are read again.
  Work w = fused
               ? passes(all, tokens * q, a, 6 * all, 1)
               : passes(tokens * (q + kv / 2) + tokens * kv, tokens * (q + kv / 2), a, 6 * all, 2);
  const Bytes indices = (fused ? 1.0 : 2.0) * tokens * table.indices;
  w.read.weights = Elements{norm_weights} * a + table.rows * table.row + indices;
  w.l2_to_sm += table.blocks * (tokens * table.row + indices);
  w.written.kv = tokens * cached;
  w.ctas = tokens * table.blocks;
  return w;
}

Work embedding(double tokens, double d, ElementSize table, ElementSize a, bool learned) {
  Work w = passes(0, tokens * d, a, learned ? tokens * d : 0, 1);
  w.read.weights = (learned ? 2.0 : 1.0) * (Elements{tokens * d} * table);
  w.l2_to_sm = w.read.weights;
  w.ctas = tokens;
  return w;
}

Work quantise(double tokens, double d, ElementSize from, ElementSize to, const Quantisation& how) {
  Work w;
  w.read.activations = Elements{tokens * d} * from;
  w.written.activations = Elements{tokens * d} * to;
  w.l2_to_sm = w.read.activations;
  w.fp32 = Flops{3 * tokens * d};
  w.ctas = tokens;
  w.launches = 1;
  if (how.incoherent) {
    w.fp32 += Flops{tokens * d * std::log2(d)};
    w.smem = Bytes{4 * tokens * d * std::log2(d / 16)};  // 16 elements a lane
  }
  if (how.rows_per_scale > 0) {
    w.ctas = how.groups * std::ceil(tokens / how.groups / how.rows_per_scale);
    w.written.activations += Bytes{4 * w.ctas};
  }
  return w;
}

Work moe_route(double tokens, double experts, double pairs, ElementSize a) {
  Work w;
  w.read.activations = Elements{tokens * experts} * a;
  w.written.activations = Bytes{8 * pairs};
  w.launches = 1;
  return w;
}

Work moe_permute(double tokens, double pairs, double d, ElementSize a) {
  Work w;
  w.read.activations = Elements{tokens * d} * a;
  w.written.activations = Elements{pairs * d} * a;
  w.launches = 1;
  return w;
}

Work moe_finalize(double tokens, double pairs, double d, ElementSize a) {
  return moe_permute(pairs, tokens, d, a);
}

}  // namespace kvroof::elementwise
