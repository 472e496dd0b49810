// Decode over a contiguous cache, one thread block per (request, K/V head): its h_q / h_kv query
// heads share every K/V row it reads. MHA is h_kv = h_q, MQA is h_kv = 1.
#pragma once
#include "model/attention/split_kv.hpp"

namespace kvroof::attention {

/// Attention of s_q new tokens over the cache, unsplit.
///   q [b, h_q, s_q, d_qk]  k [b, h_kv, s_kv, d_qk]  v [b, h_kv, s_kv, d_v]  o [b, h_q, s_q, d_v]
///   flops   = 2·b·h_q·s_q·s_kv·(d_qk + d_v)
///   read    = b·h_kv·s_kv·(d_qk + d_v)·kv + b·h_q·s_q·d_qk·act
///   written = b·h_q·s_q·d_v·act   [byte]
///   intensity tends to 2·s_q·h_q / (h_kv·kv) flop/byte: 1 for MHA, the group for GQA at bf16
/// Shazeer 2019 (arXiv:1911.02150), Ainslie et al. 2023 (arXiv:2305.13245) section 2.
/// Left out: appending the new K/V, which is an op of its own. Options: tile, packed_group.
Cost gqa_decode(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
