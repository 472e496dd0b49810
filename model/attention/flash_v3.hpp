// FlashAttention-3: TMA, wgmma, warp specialisation and ping-pong on Hopper; bf16/fp16 and FP8.
#pragma once
#include "model/attention/forward.hpp"
#include "model/attention/pipes.hpp"

namespace kvroof::attention {

/// Tiles of Dao-AILab/flash-attention hopper/tile_size.h.
Tile flash_v3_tile(double d_qk, double d_v, bool causal, bool window, MathType math);

/// See forward(); the group is packed by should_pack. With f.math = fp8 both products run on E4M3
/// tiles (f.kv and f.act are E4M3 as well, else K/V count as converted on the FP32 pipe).
/// pipe_overlap 0.3: on the published forward figures (arXiv:2407.08608 Fig. 5, d 64 / 128 / 256 at
/// 16K, full mask) exponentials and FP32 work together are hidden by 30 %, the same share at every
/// d. Left out: block quantisation of Q, K, V and the transposition of V tiles (FP8), both a few
/// percent. Shah et al. 2024 (arXiv:2407.08608). Options: tile, lse, sinks (with a window).
Cost flash_v3(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

/// Rows of a block with a scale of its own.
inline constexpr double kQueryBlock = 64, kKeyBlock = 128;

/// The E4M3 kernel as it runs here: V is transposed by a pass of its own (V read,
/// V^T [b, h_kv, d_v, s_kv rounded up to 64] written and read) and O comes out in bf16. Options
/// beside flash_v3's:
///   block_scales  fp32 scales of blocks of Q are read by the kernel; those of K and V by the pass
///                 that transposes V, which writes 16 bytes a block of keys for the kernel
///   from_bf16     elementwise::quantise of Q, K and V, a kernel each, ahead of it
///   incoherent    Q and K are rotated as they are quantised
/// Left out: scales per head, a few bytes.
Cost flash_v3_fp8(const AttentionShape& x, const OnChip& chip, const Options& o);

/// Cycles of the passes ahead of the kernel (V transposed; Q, K and V quantised with o.from_bf16),
/// if an SM's share of HBM is 20 bytes a clock (4.6 TB/s over 132 SMs at 1.74 GHz). A thread block
/// rotates its rows between its loads and its stores, so shuffles add to them.
double pass_cycles(const AttentionShape& x, const OnChip& chip, const Options& o);

/// The last `tiles` of a full mask, each cut into `parts` ranges of keys that different SMs take.
struct CutTiles {
  double tiles = 0, parts = 1;
};
/// What cutting adds to a cost: partial results [tiles, parts, m, d_v + 1] in fp32, written and
/// read back by one more kernel, and Q once more for every further part.
Cost with_cut_tiles(Cost cost, const Tile& tile, double d_qk, double d_v, double element_bytes,
                    const CutTiles& cut);

/// How the persistent kernel hands tiles to SMs.
///   section    heads of K/V that take turns: their longest tiles first, then the next section
///   per_tile   cycles of a tile beside its steps: Q, first scores, O to memory
struct Schedule {
  double section = 1;
  bool longest_first = true;
  double per_tile = 0;
  CutTiles cut = {};
};
/// Fitted with kOwnCycles and the clock of time(), on the same half.
double tile_overhead(double d_v);

/// Cycles of the SM that finishes last when every free SM takes the next tile: list scheduling of
/// b·h_q·ceil(s_q / m) tiles, each key_tiles·step + per_tile long.
double busiest_sm(const AttentionShape& x, const Tile& tile, const Step& step, const Schedule& s,
                  const OnChip& chip);

}  // namespace kvroof::attention
