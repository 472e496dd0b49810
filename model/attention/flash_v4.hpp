// FlashAttention-4: Blackwell, where tensor cores doubled but exponentials
// and shared memory did not.
#pragma once
#include "model/attention/forward.hpp"
#include "model/attention/pipes.hpp"

namespace kvroof::attention {

/// Two 128-row query tiles a thread block against 128 keys; tcgen05 reads K and V once per 128
/// rows, scores and P stay in tensor memory. 64-row-wide heads use the same tile.
Tile flash_v4_tile();

/// FP32 and integer slots of one polynomial 2^x: clamp, add and subtract the rounding constant, the
/// fraction, three FMA of the degree-3 polynomial, shift and add of the exponent.
/// Dao-AILab/flash-attention flash_attn/cute/utils.py.
inline constexpr double kPolySlots = 9;
/// The same where one instruction does two FP32 lanes (Blackwell):
/// clamp, shift and exponent stay single.
inline constexpr double kPackedPolySlots = 6;

/// See forward(), with
///   exps = tiles·((1 - poly_share)·m·n + rescale_share·m·row_lanes)
///   fp32 = + 2·9·poly_share·tiles·m·n, and the rescaling of O for rescale_share of the tiles
/// poly_share unset: 0.15, assumed within the paper's 10-25 %. rescale_share: O is rescaled only
/// when the maximum rises by more than log2(256) = 8; 1 counts every tile. pipe_overlap 0.75:
/// fitted on the paper's 1613 TFLOP/s (71 % of B200), one figure. Left out: longest-first
/// scheduling (it shortens the tail, not the work), and 2-CTA pairs. Zadouri et al. 2026
/// (arXiv:2603.05451) sections 3.1-3.3. Options: tile, lse, poly_share, rescale_share.
Cost flash_v4(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

/// One step of the forward pass on Blackwell: two warpgroups of 128 rows by 128 keys. Scores of the
/// next tile are computed ahead into tensor memory and other warps rescale O, so only exponentials,
/// polynomials and the rest of the softmax are on a warpgroup's chain. kOwnCycles is Hopper's,
/// measured; nothing here is fitted on Blackwell.
Step flash_v4_step(double d_qk, double d_v, const PipeRates& rates = kBlackwellPipes,
                   double poly_share = 0.15);

/// Exponential and polynomial cycles of a forward tile when poly_share of the scores leave the
/// exponential unit: exp = (1 - share)·m·n / exps, fma = share·9·m·n / fp32_lanes.
struct ExpCycles {
  double exp = 0, fma = 0;
};
ExpCycles exp_cycles(const Tile& tile, const PipeRates& rates, double poly_share);

/// Backward cycles of one m x n tile on Blackwell, five products S, dP, dV, dK, dQ:
///   mma  = 10·m·n·d / mma_flops      exp = m·n / exps
///   smem = [A: K, V and dS + B: 2·Q, 2·dO and K, divided over a pair of `ctas` + dS stored
///           + dQ in fp32, stored and read by the reducing copy] / smem_bytes
/// P stays in tensor memory. arXiv:2603.05451 Table 3: 2560 / 1024 / 3328 at m = n = d = 128.
PipeCycles backward_cycles(double m, double n, double d, const PipeRates& rates, int ctas = 1);

}  // namespace kvroof::attention
