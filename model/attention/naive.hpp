// Attention as the equation reads: scores in memory, three kernels (plus one per unfused mask or
// dropout). The baseline that Flash kernels are measured against.
#pragma once
#include <array>

#include "model/attention/tiling.hpp"

namespace kvroof::attention {

// q [b, h_q, s_q, d_qk], k -> S [b, h_q, s_q, s_kv] -> P = softmax(S) -> P·v
//                                                                     -> o [b, h_q, s_q, d_v]

/// S = Q·K^T.   read q, k    written S = b·h_q·s_q·s_kv·act    executed 2·S·d_qk, the whole square
Cost naive_scores(const AttentionShape& x, const Formats& f, const OnChip& chip, const Tile& t);
/// P = softmax(S) row by row; each element read once and written once, one exponential each.
/// P takes the place of S: where L2 holds all scores, S itself never reaches HBM.
/// Rows are assumed to stay in registers or L1 between the maximum, the sum and the scaling.
Cost naive_softmax(const AttentionShape& x, const Formats& f, const OnChip& chip, const Tile& t);
/// O = P·V.     read P, v    written o    executed 2·S·d_v
Cost naive_output(const AttentionShape& x, const Formats& f, const OnChip& chip, const Tile& t);

/// dV, dP, dS, dQ, dK, a kernel each: three products whose blocks hold `output`.m rows of the output,
/// one whose blocks hold a tile t of the scores, and a pass over P and dP.
std::array<Cost, 5> naive_backward_kernels(const AttentionShape& x, const Formats& f,
                                           const OnChip& chip, const Tile& t, const Tile& output);

/// Forward: the three kernels above, in elements per head of N x N scores 4·N² + 4·N·d; each
/// options.unfused_passes (mask, dropout, scale as kernels of their own) adds 2·N².
///   flops = 2·b·h_q·pairs·(d_qk + d_v)      a causal mask halves it, but saves no work and no byte
/// Backward (options.backward), P kept from the forward pass: dV = P^T·dO, dP = dO·V^T,
/// dS = P∘(dP - rowsum), dQ = dS·K, dK = dS^T·Q: 7·N² + 8·N·d elements, 4 products, 5 kernels;
/// unfused passes again 2·N² each.
/// Vaswani et al. 2017 (arXiv:1706.03762) eq. 1; Dao et al. 2022 (arXiv:2205.14135) Algorithm 0.
/// Options: tile, backward, unfused_passes. The window only enters `flops`: scores outside it are
/// computed and masked.
Cost naive(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
