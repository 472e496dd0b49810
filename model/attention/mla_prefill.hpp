// Multi-head latent attention, unabsorbed prefill: the latent is expanded to one K and V per head.
#pragma once
#include "model/attention/forward.hpp"

namespace kvroof::attention {

/// MHA with (d_qk, d_v) = (d_nope + d_rope, d_v), 192 and 128 for DeepSeek: see forward().
///   flops = 2·b·h_q·pairs·(192 + 128)      read K/V in the activations' format, not the cache's
/// DeepSeek-V2 (arXiv:2405.04434) section 2.1; attending in the latent would take
/// 1088 / 320 = 3.4 times the products. Left out: the expansion kv_b_proj and reading the latent,
/// an op of its own; K's rotary part counts per head, as expanded K is laid out.
/// Options: tile, lse.
Cost mla_prefill(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
