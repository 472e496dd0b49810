// Split-KV decode: the cache of a request is cut into ranges that different thread blocks walk, and
// a combine kernel merges their partial results. Shared by all decode variants.
#pragma once
#include "model/attention/tiling.hpp"

namespace kvroof::attention {

/// How FlashAttention picks the number of splits. `blocks` thread blocks exist without splitting,
/// each walks `key_tiles` tiles; `slots` run at once. One split if blocks >= 0.8·slots; else the
/// smallest n <= min(max_splits, slots, key_tiles) whose fill w / ceil(w), w = blocks·n / slots,
/// reaches 85 % of the best.
///   fa2   skips an n that leaves the tiles per split as they were at n - 1
///   fa3   does not skip, and keeps one split for up to 4 key tiles
enum class SplitRule { fa2, fa3 };
struct SplitQuestion {
  double blocks = 1, key_tiles = 1, slots = 132;
  double max_splits = 128;
  SplitRule rule = SplitRule::fa2;
};
double split_count(const SplitQuestion& q);

/// FlashAttention-3's second rule, for a machine that is full: if the K/V of one head exceeds
/// `l2` and each of at least two rounds of query tiles would scan it, ceil(stream / l2) splits.
double l2_split_count(Bytes stream, double q_tiles, double num_sms, bool masked,
                      Bytes l2 = Bytes{50 * mebi});

/// Query rows and key tiles of a decode kernel: the rows of a group (or of one head) fill tiles of
/// m rows; m is 16, 32 or 64 by default, whatever holds them.
///   even   persistent blocks with equal ranges of all caches (balanced_split.hpp) instead of
///          `splits`: rows of partial results they leave, whether the last block merges them, and
///          the blocks of a cluster that share one read of L2 (TMA multicast); of partial results,
///          the rows that are read back (0: all); rows of q that all pieces load together, rows of
///          zeros that fill a tile among them (0: each once, and again for partial results)
struct EvenRanges {
  double partial_rows = 0, ctas = 132;
  bool fused_combine = false;
  double multicast = 1;
  double merged_rows = 0, q_rows = 0;
};
struct DecodePlan {
  Tile tile;
  bool packed = true;
  double splits = 1;
  ElementSize partial{4};  // partial O: fp32 (FlashAttention) or the output format (vLLM)
  double stats = 4;        // bytes per row and split beside it: LSE, or maximum and sum
  std::optional<EvenRanges> even;
};

/// Tile for `rows` query rows and head size d_qk: keys per tile 128 for d <= 128, else 64.
Tile decode_tile(double rows, double d_qk);

/// The plan a decode variant uses: options.tile, options.packed_group and options.splits where
/// given, else decode_tile and split_count with one block per (request, K/V head, row tile).
DecodePlan decode_plan(const AttentionShape& x, const OnChip& chip, const Options& o,
                       double sinks = 0);

/// XU operations of a kernel that merges `parts` partial results of each query row: a weight for
/// each. Of a kernel whose tile states how its rows end, what ours executes: the weights by whole
/// warps, and 1 / l by d_v / 4 lanes, at least a warp.
double combine_exps(double rows, double parts, const Tile& t, double d_v);

/// Decode attention over `keys` cached tokens per request, cut into plan.splits ranges.
///   q [b, h_q, s_q, d_qk]   k, v [b, h_kv, s_kv, d]   o [b, h_q, s_q, d_v]
///   flops     = 2·b·h_q·s_q·visible·(d_qk + d_v)
///   read      = kv_bytes + b·h_q·s_q·d_qk·act        written = b·h_q·s_q·d_v·act
///   l2_to_sm  = row tiles·kv_bytes (not packed: once a query head) / multicast + q
///   multicast = what of row tiles·kv_bytes the other blocks of a cluster receive
///   partials  = splits·b·h_q·s_q·(d_v·partial + stats), written and read, when splits > 1
/// Partial results count as read and written activations and as handed over when L2 holds them.
/// kv_bytes is what the caller's cache costs; `cached` its elements (for dequantisation).
/// Dao et al. 2023 (Flash-Decoding). New tokens' K/V are appended by another op; the triangle among
/// them (s_q > 1) counts as full, as FlashMLA's convention does.
Cost decode(const AttentionShape& x, const Formats& f, const OnChip& chip, const DecodePlan& plan,
            Bytes kv_bytes, Elements cached, double sinks = 0);

/// decode() over a plain cache: kv_bytes = b·h_kv·visible·(d_qk + d_v)·kv.
Cost decode(const AttentionShape& x, const Formats& f, const OnChip& chip, const DecodePlan& plan,
            double sinks = 0);

}  // namespace kvroof::attention
