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

/// Cycles of the passes ahead of the kernel: V transposed, at 16.5 bytes a clock of each SM (3.8
/// TB/s between V of 2 and of 34 MB: single bytes out of shared memory); with o.from_bf16 Q, K and
/// V quantised, at an SM's share of HBM. A thread block rotates its rows between its loads and its
/// stores, so shuffles add to them.
double pass_cycles(const AttentionShape& x, const OnChip& chip, const Options& o);

/// The last `tiles` of a full mask, each cut into `parts` ranges of keys that different SMs take.
struct CutTiles {
  double tiles = 0, parts = 1;
};
/// What cutting adds to a cost: partial results [tiles, parts, m, d_v + 1] in fp32, written and
/// read back by one more kernel, and Q once more for every further part.
Cost with_cut_tiles(Cost cost, const Tile& tile, double d_qk, double d_v, double element_bytes,
                    const CutTiles& cut);

/// Cycles of the kernel that merges them, each partial result read once.
double combine_cycles(const CutTiles& cut, const Tile& tile, double d_v, const OnChip& chip);

/// How the persistent kernel hands tiles to SMs.
///   section    heads of K/V that take turns: their longest tiles first, then the next section
///   per_tile   cycles of a tile beside its steps: Q, first scores, O to memory; exposed_q()
struct Schedule {
  double section = 1;
  bool longest_first = true;
  double per_tile = 0;
  CutTiles cut = {};
};
/// Fitted to the cycles of flash_v3 with s 512, 2048 and 8192, and with it what a launch takes
/// beside its tiles, 9500: 5000 are the launch's own, as of any kernel, the rest is
/// kFirstTile: barriers, maps, the first Q and K, the code, all of it from cold caches.
double tile_overhead(double d_v);
inline constexpr double kFirstTile = 4500;
/// Of the E4M3 kernel, whose O comes out twice as wide as its operands: 1840 and 0.83 of the bytes
/// of O at an SM's share of HBM. Fitted on every other pair of its shapes.
double tile_overhead_e4m3(double rows, double d_v);

/// Cycles in which Q of a tile is on its way and nobody works, where shared memory has no place for
/// a second Q: its load is asked for after the last scores of the tile before. It arrives at 64
/// bytes a clock, what an SM takes from L2, by the part of HBM's time that others leave; of that
/// 0.52 are exposed, the rest hides under the softmax and P·V that are left. hbm_busy: bytes of the
/// launch over what HBM could move in its cycles. 0.52 is fitted with tile_overhead(); judged on
/// s 1024, 4096 and 16384 cycles are off by 0.8 % in the mean, 3.3 % at most.
double exposed_q(Bytes q, double hbm_busy);

/// Cycles that scales of blocks cost: of a tile, before its first softmax, the scale of its queries
/// and then the first of its keys, 341 and 146 ns from HBM and from L2 at 1.74 GHz; of a step whose
/// scale is asked for after its scores, that trip to L2; of one whose scale is asked for ahead, the
/// 14 instructions (SASS) of three warps a scheduler.
inline constexpr double kScalesOfTile = 847, kScaleAfterScores = 253, kScaleAhead = 42;

/// Cycles of the SM that finishes last when every free SM takes the next tile: list scheduling of
/// b·h_q·ceil(s_q / m) tiles, each key_tiles·step + per_tile long, key tiles that need a mask
/// (the diagonal's, and one that reaches past the last key) step + mask.
double busiest_sm(const AttentionShape& x, const Tile& tile, const Step& step, const Schedule& s,
                  const OnChip& chip);

}  // namespace kvroof::attention
