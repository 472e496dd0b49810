// Sparse attention by selection (DeepSeek sparse attention): a light indexer scores all cached
// tokens, attention reads only the best top_k of them.
#pragma once
#include "model/attention/split_kv.hpp"

namespace kvroof::attention {

/// Indexer over the whole cache, then attention over k = min(top_k, s_kv) tokens per query.
///   index flops = 2·b·pairs·index_heads·index_dim (FP8)   pairs: s_q·s_kv, causal half for s_q > 1
///   index read  = b·s_kv·(index_dim + 4): FP8 key and its fp32 scale, 132 bytes at 128
///   scores      = b·s_q·s_kv·4 bytes, written by the indexer and read by the selection
///   selection   = b·s_q·k·4 bytes of indices, written and read
///   attention   = decode() with s_kv = k per query; HBM reads at most the cache once:
///                 b·min(s_kv, s_q·k) tokens; 656-byte latent tokens lie apart, hence whole 32-byte
///                 sectors per token
/// The shape is that of mla_decode (h_kv = 1, d_qk 576, d_v 512) or of GQA; a latent cache is
/// recognised by h_kv = 1 and d_v < d_qk. Not modelled: the time of the radix selection beyond its
/// bytes, agreement between the selections of neighbouring queries (prefill reads between k and
/// min(s_kv, s_q·k) tokens; the upper end is counted), the projections that make index queries and
/// keys, and training. Indexer products count at the attention's rate although they run in FP8.
/// deepseek-ai/DeepSeek-V3.2-Exp technical report, section 2; deepseek-ai/FlashMLA, FP8 sparse deep
/// dive. Options: top_k, index_heads, index_dim, tile, splits.
Cost sparse_topk(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
