// One launch over requests of different lengths, without padding: whole prompts, chunks of prompts
// over what is already cached, drafts to verify, single decode tokens.
#pragma once
#include <span>

#include "model/attention/forward.hpp"
#include "model/load.hpp"

namespace kvroof::attention {

/// Every group's requests attend causally from s_q new tokens to cached + s_q; head counts and
/// sizes come from `heads`, whose b, s_q, s_kv are ignored. Rows of a group are always packed, as
/// in FlashAttention-3's variable-length path; nothing is padded beyond each request's last tile.
///   flops = sum over groups of 2·requests·h_q·s_q·(cached + s_q/2)·(d_qk + d_v)
///   read  = sum of requests·h_kv·(cached + s_q)·(d_qk + d_v)·kv + q + 8 bytes of offsets a request
///   reread = (row tiles - 2) / slots of a request's K and V: row tiles that start a wave later.
///            Neighbours start in pairs, on SMs that carry the same load (clusters of two); alone,
///            two row tiles of a draft read their cache twice, because the one that has its SM for
///            itself runs ahead by more than L2 holds. Left out: the same in the last wave of
///            caches of 64 MB and more, 15 to 23 % of the reads of one such shape.
/// Prefill in chunks re-reads the cache once per chunk: see chunked_kv_tokens.
/// Agrawal et al. 2024 (arXiv:2403.02310) for chunks, Leviathan et al. 2022 (arXiv:2211.17192) for
/// verification. Left out: split-KV for the decode rows of a mixed launch.
/// Options: tile, lse, tree_mask.
Cost ragged(std::span<const RequestGroup> groups, const AttentionShape& heads, const Formats& f,
            const OnChip& chip, const Options& o);

/// One group: x.b requests of x.s_q new tokens after x.s_kv - x.s_q cached ones.
/// options.tree_mask (speculative verify of a token tree, arXiv:2305.09781): one bit per pair of
/// new tokens is read per request; which ancestors a node sees changes neither tiles
/// nor cache bytes.
Cost ragged(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

/// Cached and new tokens read over all chunks of a prompt of s tokens: the sum of min(i·chunk, s),
/// about s·(s/chunk + 1)/2 against s unchunked.
double chunked_kv_tokens(double s, double chunk);

}  // namespace kvroof::attention
