// Multi-head latent attention, absorbed decode: all heads attend to one latent of d_c + d_rope
// values a token, whose first d_c values are V as well.
#pragma once
#include "model/attention/balanced_split.hpp"
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

/// kernels/attention/mla_decode_tma.cuh in cycles of an SM.
///   step    of a tile of 64 keys: scores, softmax and output of 64 rows, which are 2176 cycles of
///           tensor work; FP8: until a warpgroup has widened the next one
///   start   before the first tile: launch of the cluster, barriers, maps, plan, page, and the
///           code, all of it from cold caches
///   tile    what a block draws from HBM for a tile; of a cluster each takes half
///   busy    tensor_busy: 2176 / step; FP8: what the clock of 1.75 GHz says, since widening draws
///           power, too
/// step and start are fitted on sm__cycles_active of 16 to 128 requests of 64 to 2048 tokens on an
/// H200 (reports/h200-sxm-141gb/hopper_launches.csv), the step of clusters on 256 tiles a block as
/// well. A launch itself, 3 us, is not in start.
struct MlaKernel {
  double step = 0, start = 0;
  Bytes tile;
  double busy = 1;
};
inline constexpr MlaKernel kMlaCluster{2750, 8900, Bytes{36864}, 0.79};
inline constexpr MlaKernel kMlaBlock{2540, 8000, Bytes{73728}, 0.86};
inline constexpr MlaKernel kMlaWidened{5520, 5800, Bytes{41984}, 0.65};

/// Cycles of the worker that takes longest, `blocks` of which are at work together (a cluster):
///   tiles   Σ max(step, tile bytes / share) + change·(pieces - 1)     change: the next q comes
///           behind the ring, and nobody works meanwhile (5.7 and 7.6 thousand cycles for a second
///           piece)
///   fill    start + q of the first piece / share + output of the last: whole, bf16 by `share`; a
///           partial result, 64 rows of fp32, at the 32 bytes a clock that an SM writes to L2
/// share: bytes a clock of an SM from HBM, 20·S / blocks at work and 64 at most. `rows` of the 64
/// of a block exist; TMA fills the others with zeros.
struct MlaCycles {
  double tiles = 0, fill = 0;
};
MlaCycles mla_cycles(const BalancedSplit& split, const MlaKernel& kernel, double rows, int blocks,
                     const OnChip& chip);

/// Cycles of a merge: the longer of
///   lots    the block that merges most pieces, `at_once` of which are on their way together: for
///           each lot a trip to L2 (600 cycles) and 65 cycles a piece for its addresses and its
///           weight (a lone warp a scheduler)
///   bytes   all partial results, at kPartialBytesPerClock of every SM
/// Fitted on 1 to 8 requests of 16 and 128 heads in 16 to 132 pieces, and on 64 requests in three.
double merge_cycles(double pieces, double at_once, Bytes partials, const OnChip& chip);

}  // namespace kvroof::attention
