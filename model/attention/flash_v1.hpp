// FlashAttention-1: keys in the outer loop,
// O and the softmax statistics rewritten once per key block.
#pragma once
#include "model/attention/tiling.hpp"

namespace kvroof::attention {

/// The paper's blocks for an on-chip memory of M elements: n = ceil(M / 4d), m = min(n, d).
/// Dao et al. 2022 (arXiv:2205.14135) Algorithm 1, line 1.
Tile flash_v1_tile(double sram_elements, double d);

/// One thread block per (request, query head) walks T_c = ceil(s_kv / n) key blocks; for each it
/// reads Q, O, l and m of all rows and writes O, l and m back. Per head, N queries and keys of
/// size d:
///   forward   2·N·d + T_c·(3·N·d + 4·N)      Theta(N²·d² / M), Theorem 2
///   backward  4·N·d + T_c·(5·N·d + 2·N)      reads Q, O, dO, dQ, l, m and writes dQ every pass
/// statistics in fp32; causal passes skip the row blocks above the diagonal.
///   flops = 2·b·h_q·pairs·(d_qk + d_v); backward 2.5 times that, the scores being recomputed
/// The passes count as read and written, as the paper counts them. Where the rows of a pass (Q, O,
/// statistics, of all resident heads) fit in L2 the next pass finds them there: kept, handed_over;
/// fewer of them unwritten than it finds (l2_hit_rewritten).
/// initial_state = false: the first forward pass starts from registers, T_c - 1 passes read
/// O, l, m. Options: tile (m rows, n keys), sram_bytes, initial_state, backward.
Cost flash_v1(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
