// Multi-head latent attention, absorbed decode: all heads attend to one latent of d_c + d_rope
// values a token, whose first d_c values are V as well.
#pragma once
#include "model/attention/split_kv.hpp"

namespace kvroof::attention {

/// Cache bytes of one token and layer. Formats with scales of their own keep the rotary part in
/// 16 bits: fp8_per_token 512·1 + 4 scales·4 + 64·2 = 656; plain formats store all of it:
/// bf16 1152, fp8 576.
Bytes mla_token_bytes(double d_c, double d_rope, Dtype kv);

/// Queries are already multiplied by W_uk (d_qk = d_c + d_rope), outputs not yet by W_uv
/// (d_v = d_c); the shape has h_kv = 1.
///   q [b, h_q, s_q, d_c + d_rope]   cache [b, s_kv, d_c + d_rope]   o [b, h_q, s_q, d_c]
///   flops   = 2·b·h_q·s_q·s_kv·(d_qk + d_v)
///   read    = b·s_kv·mla_token_bytes + b·h_q·s_q·d_qk·act
///   written = b·h_q·s_q·d_c·act   [byte]
///   intensity of the cache: h_q·s_q·1088 / 576 = 241.8 flop/byte at h_q = 128, bf16
/// A thread block holds 64 query rows, so h_q·s_q / 64 blocks read each token from L2.
/// DeepSeek-V2 (arXiv:2405.04434) section 2.1; deepseek-ai/FlashMLA. Splits by split_count
/// (FlashMLA balances over requests instead; same fill). Left out: sector rounding of scattered
/// 656-byte tokens (+2.4 %), and the absorbing products, which are ops of their own.
/// Options: tile, splits.
Cost mla_decode(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);
/// The same for a kernel that has made its plan.
Cost mla_decode_planned(const AttentionShape& x, const Formats& f, const OnChip& chip,
                        const DecodePlan& plan);

}  // namespace kvroof::attention
