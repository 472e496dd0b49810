// Which score tiles a kernel visits, and what a visited tile costs on the chip. Shared by all
// variants that walk tiles.
#pragma once
#include <cmath>

#include "model/attention/variant.hpp"

namespace kvroof::attention {

inline double ceil_div(double a, double b) { return std::ceil(a / b); }
inline double round_up(double a, double b) { return b * std::ceil(a / b); }

/// Sum over i = 0 .. k-1 of floor((a·i + b) / c) clamped to [0, cap]; a >= 0, c > 0. O(log c).
double sum_clamped_floor(double k, double a, double b, double c, double cap);

/// Tiles of one head of one request.
///   q_tiles   row tiles: ceil(s_q·rows_per_query / m)
///   visited   (row tile, key tile) pairs with at least one visible score: what is executed
///   keys      keys loaded over all row tiles; the ragged last key tile loads only what exists
struct TileCount {
  double q_tiles = 0, visited = 0, keys = 0;
};

/// Row tile i holds rows i·m .. (i+1)·m - 1, row r belongs to query r / rows_per_query, and query j
/// stands at position s_kv - s_q + j (bottom-right aligned). It visits the key tiles between its
/// first row's window and its last row's diagonal, and those of the `sinks` first keys.
/// A window implies causal. Ragged sizes are whole tokens; fractions round up.
TileCount count_tiles(const AttentionShape& x, double rows_per_query, double m, double n,
                      double sinks = 0);

/// Key tiles of the longest row tile over those of the mean one.
double longest_block(const AttentionShape& x, const TileCount& c, double rows_per_query, double m,
                     double n, double sinks = 0);

/// Visible (query, key) pairs of one head by the papers' convention, in which a causal square
/// counts half: the integral of min(position, window) over the new positions. Without a mask
/// s_q·s_kv; causal s_q·(s_kv - s_q / 2).
double paper_pairs(const AttentionShape& x, double sinks = 0);

/// Cached tokens of one request that at least one new token sees:
/// min(s_kv, window + s_q - 1 + sinks).
double visible_tokens(const AttentionShape& x, double sinks = 0);

/// 2·b·h_q·pairs·(d_qk + d_v): both products, an FMA counted as two.
Flops product_flops(const AttentionShape& x, double pairs);

/// FP32-pipe issue slots per score: FFMA (scale and subtract), max, add, half a pack of two.
/// An issue slot counts as two flop in Work::fp32, because the pipe's peak counts an FMA as two.
inline constexpr double kSoftmaxSlots = 3.5;

/// On-chip work of `tiles` visited tiles: flops_executed, exps, fp32, smem.
///   flops_executed = tiles·2·m·n·(pad(d_qk, k_mma) + pad(d_v, 8))      k_mma: 32 bytes of operand
///   exps           = tiles·(m·n + m·row_lanes)      one a score, one correction a row and tile
///   fp32           = 2·tiles·(3.5·m·n + m·d_v)      softmax, and the rescaling of O
///   smem           = tiles·tile_smem_bytes
/// With m = 1 the products run on the FP32 pipe: flops_executed stays zero.
Work tile_work(double tiles, const Tile& t, double d_qk, double d_v, const Formats& f);

/// XU operations that end `rows` query rows that follow each other through tiles of t.m rows.
///   8·ceil(rows / 8)·row_ends                 rows that stay in their warp's registers, eight to a
///                                             warp instruction, as mma holds them
///   32·ceil(r·d_v / 128)·(merged_warps + 1)   r rows of a tile whose warps merge: a weight for
///                                             each partial result and 1 / l, 4 columns a lane
double row_end_exps(double rows, const Tile& t, double d_v);

/// FP32-pipe work that widens `elements` of K/V to the operand format; zero when the tensor cores
/// take the stored format as it is.
/// assumed: issue slots per element, from the shortest known conversion sequences.
Flops dequant_work(Elements elements, Dtype kv, MathType math);

/// HBM reads of K/V beyond the first, after L2. `stream` is the K and V of one K/V head, scanned by
/// `ctas` thread blocks. Blocks resident together march nearly in step, so a wave of them costs one
/// fetch (hit rate 1 - 1/N: Zhu et al., arXiv:2601.16032); a stream that L2 holds is fetched once.
///   stream <= l2_effective: 0      else stream·max(0, ctas / slots·share - 1)
/// share: part of the stream a block visits on average (causal: about half).
Bytes kv_reread(Bytes stream, double ctas, double share, const Tile& t, const OnChip& chip);

/// What a written byte of O takes of L2 until the next wave reads: less than in products, whose
/// waves end with a burst of writes. Fitted on the DRAM reads of flash_v2
/// and flash_v3 without a mask.
inline constexpr double kOutputCopies = 1.25;

/// Streams fetched again where blocks are about equally long, so that waves of them start together:
/// `streams` of them (K and V of a head), each scanned by `blocks` thread blocks one after the
/// other in the grid. A wave fetches each stream that it touches once; the stream that a wave
/// boundary cuts is fetched again, unless L2 held it over what was moved in between.
///   cuts·(1 - l2_hit(lag·(streams a wave touches·stream + slots·own)))
/// own: what a block's own rows (Q and O) take of L2. lag: start of the blocks behind a boundary,
/// in lengths of a block: 1 without a mask, 1 - s_q / s_kv with a causal one, whose shortest block
/// makes room that much earlier. A causal square therefore reads all of its streams once.
double wave_refetches(Bytes stream, double streams, double blocks, Bytes own, double lag,
                      const Tile& t, const OnChip& chip);

Execution execution_of(const Tile& t);

}  // namespace kvroof::attention
