// Cascade decode: the prefix that all requests of a batch share is attended to once
// for all of them.
#pragma once
#include <array>

#include "model/attention/split_kv.hpp"

namespace kvroof::attention {

/// How the two levels run: the rows of all requests over the prefix, those of one over its suffix.
struct CascadePlan {
  Tile prefix, suffix;
  double prefix_splits = 1, suffix_splits = 1;
  int merge_ctas_per_sm = 8;  // 256 threads each
};

/// Two levels and a merge: all b·s_q·group query rows of a K/V head form the row tiles of one pass
/// over the `shared` first tokens, each request then walks its own s_kv - shared.
///   read      = h_kv·(shared + b·(s_kv - shared))·(d_qk + d_v)·kv + q
///   saved     = (b - 1)·shared·h_kv·(d_qk + d_v)·kv against flash_decoding
///   partials  = (prefix splits + suffix splits)·b·h_q·s_q·4·(d_v + 1), written, read by one merge
///   flops     as flash_decoding; the prefix tiles are full where single requests would pad them
/// The prefix is read from L2 once per row tile: ceil(b·s_q·group / m) times instead of b times.
/// handed_over: the partial results that L2 still holds at the merge. Those of the prefix have left
/// it when the suffixes, which stream through in between, exceed it.
/// page > 0: a block table of 4-byte entries, the shared pages named once.
/// Ye et al. 2025 (arXiv:2501.01005) section 3.1.2.
Cost cascade(const AttentionShape& x, const Formats& f, const OnChip& chip, double shared,
             double page, const CascadePlan& plan);

/// Its three kernels, which run one after another: the prefix is bound by tensor cores and shared
/// memory, the suffixes stream from HBM, the merge reads partial results.
std::array<Cost, 3> cascade_kernels(const AttentionShape& x, const Formats& f, const OnChip& chip,
                                    double shared, double page, const CascadePlan& plan);

/// The same for options.shared_prefix tokens, with decode_plan's tile and splits for each level.
/// A window that cuts into the prefix shortens it. Without a prefix this is flash_decoding.
/// Options: tile, splits, shared_prefix.
Cost cascade(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
