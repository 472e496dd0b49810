// Flash-Decoding: gqa_decode with the cache cut into splits, so that few requests fill all SMs.
#pragma once
#include "model/attention/split_kv.hpp"

namespace kvroof::attention {

/// gqa_decode plus, for splits > 1, fp32 partial results and a combine kernel:
///   partials = splits·b·h_q·s_q·4·(d_v + 1) bytes, written and read
///   o = sum_s exp(lse_s - max)·o_s / sum_s exp(lse_s - max)
/// Splits follow split_count with 2 blocks an SM (FlashAttention-2's rule) unless given.
/// Relative to bf16 K/V the partials cost about 2·splits·group / s_kv; they normally stay in L2
/// (handed_over). Dao et al. 2023, https://crfm.stanford.edu/2023/10/12/flashdecoding.html.
/// Options: tile, splits, packed_group.
Cost flash_decoding(const AttentionShape& x, const Formats& f, const OnChip& chip,
                    const Options& o);

}  // namespace kvroof::attention
