// FlashAttention-2: queries in the outer loop, parallel over sequence, O written once; mma.sync.
#pragma once
#include <array>

#include "model/attention/forward.hpp"

namespace kvroof::attention {

/// Shipped tiles, Dao-AILab/flash-attention csrc/flash_attn: 128x128 up to d 64, 128x64 up to 192,
/// 64x64 with two blocks an SM at 256 (Hopper).
Tile flash_v2_tile(double d);
/// Backward: key tile outer, 64 rows by 128 keys (d 64: 128 by 128; d > 128: 64 by 64).
Tile flash_v2_backward_tile(double d);

/// Forward: see forward(); query heads are not packed.
///   q, k, v -> o [b, h_q, s_q, d_v] and lse [b, h_q, s_q] fp32
///   elements per head across L2 -> SM: 2·N·d + N (lse) + T_r·2·N·d; HBM stays at 4·N·d + N
/// Backward (options.backward), three kernels: D = rowsum(dO∘O); per key tile dK, dV and an fp32
/// accumulation of dQ in global memory; dQ rounded to its format.
///   flops = 2.5 x forward: S and dP recomputed, dV, dK, dQ           executed 10·m·n·d a tile
///   read    = q + k + v + o + 2·dO + lse + D + dQ accumulator
///   written = dq + dk + dv + D + accumulator
///   l2_to_sm = T_c·(q + dO + lse + D) + k + v + o + dO; accumulator adds are performed in L2
///   dO is read once where L2 keeps o and dO; an accumulator larger than L2 makes two trips. The
///   heads of a group are walked by one block, so that dK and dV are written once.
/// Dao 2023 (arXiv:2307.08691) Algorithms 1 and 2. Options: tile, backward, lse.
Cost flash_v2(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

/// The three kernels of the backward pass, whose sum flash_v2() answers: D and zeros in the
/// accumulator; the products; dQ rounded.
std::array<Cost, 3> flash_v2_backward_kernels(const AttentionShape& x, const Formats& f,
                                              const OnChip& chip, const Tile& t);

}  // namespace kvroof::attention
