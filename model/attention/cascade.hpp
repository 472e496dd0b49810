// Cascade decode: the prefix that all requests of a batch share is attended to once for all of
// them.
#pragma once
#include "model/attention/split_kv.hpp"

namespace kvroof::attention {

/// Two levels and a merge: all b·s_q·group query rows of a K/V head form the row tiles of one pass
/// over the options.shared_prefix tokens, each request then walks its own suffix.
///   read      = h_kv·(prefix + b·(s_kv - prefix))·(d_qk + d_v)·kv + q
///   saved     = (b - 1)·prefix·h_kv·(d_qk + d_v)·kv against flash_decoding
///   partials  = 2 levels·b·h_q·s_q·4·(d_v + 1), written and read by the merge, beside those of
///   splits flops as flash_decoding; the prefix tiles are full where single requests would pad them
/// The prefix is read from L2 once per row tile: ceil(b·s_q·group / m) times instead of b times.
/// A window that cuts into the prefix shortens it. Without a prefix this is flash_decoding.
/// Ye et al. 2025 (arXiv:2501.01005) section 3.1.2. Options: tile, splits, shared_prefix.
Cost cascade(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
