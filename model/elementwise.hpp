// Memory-bound chains between the products, fused (one kernel, each tensor once) or unfused (one
// kernel per step, every intermediate through memory).
//   tokens  rows of the hidden state      d  its width      a  bytes per activation
#pragma once
#include "model/work.hpp"

namespace kvroof::elementwise {

/// x ← x + r; y ← norm(x)·w. Fused: reads x and r, writes x and y: 4·tokens·d·a. Unfused: the add
/// (3 passes) then the norm (2 passes, plus one to re-read the row): 5·tokens·d·a in two kernels.
/// `blocks` thread blocks load the weights from L2, each once; 0: a block a row.
Work residual_norm(double tokens, double d, ElementSize a, bool bias, bool fused,
                   double blocks = 0);

/// y ← norm(x)·w alone: 2·tokens·d·a.
Work norm(double tokens, double d, ElementSize a, bool bias, double blocks = 0);

/// y = act(gate)·up. Fused: reads 2·d_ff, writes d_ff per token. Unfused (act, then product): 5
/// passes. gated = false: one activation, 2 passes either way. A sigmoid takes two instructions of
/// the XU pipe, an exponential and a reciprocal; both count as exps. blocks = 0: a block a token.
Work activation(double tokens, double d_ff, ElementSize a, bool gated, bool fused,
                double blocks = 0);

/// What rotating and appending read beside q, k and v: `rows` distinct rows of cos and sin of `row`
/// bytes, `indices` bytes a token and kernel for positions and slots; `blocks` thread blocks share
/// a token and load both.
struct RopeTable {
  double rows = 0;
  Bytes row, indices;
  double blocks = 1;
};

/// Rotates q and k and appends k, v to the cache; `q`, `kv` are elements per token of q and of
/// k + v together, `cached` the bytes one token adds to the cache. Fused: one pass over q, k, v.
/// Unfused: rotate q and k in place (2 passes of q + k), then copy k and v to the cache.
/// `norm_weights` elements of QK-norm weights, 0 without. The table is left out by default: 4·d
/// bytes for each distinct position, against 2·(h_q + 2·h_kv)·d a token.
Work rope_append(double tokens, double q, double kv, Bytes cached, ElementSize a,
                 double norm_weights, bool fused, const RopeTable& table = {});

/// o ← norm(o)·act(z) or o·sigmoid(gate): reads o and the gate, writes o, in one kernel:
/// 3·tokens·d·a. XU instructions of the gate as in activation().
Work gate(double tokens, double d, ElementSize a);

/// Causal convolution over the last `conv` tokens of each channel, then SiLU: reads and writes
/// tokens·channels, and of each request the conv − 1 tokens before, replaced by its newest.
Work causal_conv(double tokens, double requests, double channels, double conv, ElementSize a);

/// Gathers `tokens` rows of the table; the table itself is not read.
/// `learned`: a position row is added.
Work embedding(double tokens, double d, ElementSize table, ElementSize a, bool learned);

/// Converts activations to a narrow format before a quantised product.
///   rows_per_scale  a fp32 scale is written for every so many rows of each of the `groups`
///                   (heads), and a thread block takes them; 0: no scales, a thread block a row
///   incoherent      rows are turned by signs and a fast Hadamard transform: log2(d) additions an
///                   element, log2(d / 16) of them between lanes: 4 bytes each, through the pipe of
///                   shared memory
struct Quantisation {
  double rows_per_scale = 0;
  double groups = 1;
  bool incoherent = false;
};
Work quantise(double tokens, double d, ElementSize from, ElementSize to,
              const Quantisation& how = {});

/// Around the products of routed experts, a kernel each, `pairs` (token, expert) assignments:
///   route     top-k of the router's scores: reads tokens·experts·a, writes 8 bytes a pair
///   permute   rows into the order of their experts: reads tokens·d·a, writes pairs·d·a
///   finalize  weighted sum of a token's experts: reads pairs·d·a, writes tokens·d·a
Work moe_route(double tokens, double experts, double pairs, ElementSize a);
Work moe_permute(double tokens, double pairs, double d, ElementSize a);
Work moe_finalize(double tokens, double pairs, double d, ElementSize a);

}  // namespace kvroof::elementwise
