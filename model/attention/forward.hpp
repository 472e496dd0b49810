// The query-outer forward pass that FlashAttention-2 and all its descendants share: a thread block
// owns a tile of query rows, walks the visible key tiles and writes O once.
#pragma once
#include "model/attention/tiling.hpp"

namespace kvroof::attention {

/// What distinguishes one member of the family from the next.
///   packed       the h_q / h_kv query heads of a group are folded into the rows of a tile, so K/V
///                is loaded once per group instead of once per query head
///   sinks        first keys that stay visible beside a window
///   lse          one fp32 log-sum-exp per row is written
///   q_leaves_l2  Q is read as what leaves L2 first (evict_first), and pushes no K/V out
struct ForwardPlan {
  Tile tile;
  bool packed = false;
  double sinks = 0;
  bool lse = true;
  bool q_leaves_l2 = false;
};

/// Attention of s_q new tokens, key tiles skipped where the mask hides all of them.
///   q [b, h_q, s_q, d_qk]  k [b, h_kv, s_kv, d_qk]  v [b, h_kv, s_kv, d_v]  o [b, h_q, s_q, d_v]
///   flops     = 2·b·h_q·pairs·(d_qk + d_v)                     pairs: paper_pairs
///   executed  = 2·heads·visited·m·n·(d_qk + d_v), padded       heads: b·h_q, packed b·h_kv
///   read      = b·h_kv·visible·(d_qk + d_v)·kv + b·h_q·s_q·d_qk·act
///   written   = b·h_q·s_q·(d_v·act + 4·lse)                    [byte]
///   l2_to_sm  = heads·keys·(d_qk + d_v)·kv + q
///   reread    = K/V·max(wave_refetches, kv_reread of a masked head that exceeds L2)
/// Dao 2023 (arXiv:2307.08691) Algorithm 1. Left out: masks and positional bias read from memory,
/// and the write of new K/V into the cache, which is an op of its own.
Cost forward(const AttentionShape& x, const Formats& f, const OnChip& chip,
             const ForwardPlan& plan);

/// FlashAttention-3's rule: fold the group when rounding s_q up to the tile wastes more than 10 %
/// beyond what rounding s_q·group up does.
bool should_pack(double s_q, double group, double m);

}  // namespace kvroof::attention
