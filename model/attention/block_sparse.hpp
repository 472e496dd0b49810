// Block-sparse FlashAttention: tiles that a given mask leaves out are neither loaded nor computed.
#pragma once
#include "model/attention/forward.hpp"

namespace kvroof::attention {

/// flash_v2 with options.sparsity (0 .. 1) of the tiles it would visit:
///   flops, executed, exps, fp32, smem, K/V from L2      x sparsity
///   read K/V      a key block is read if any row tile keeps it: kept_keys, or of tiles drawn at
///                 random the share that some row tile keeps (the last keys of a causal mask are
///                 seen by few)
///   reread        of the first wave alone, see forward(): later ones do not start together
///   block list    4 bytes per tile kept, read once; none at sparsity 1; tiles kept are whole
/// Dao et al. 2022 (arXiv:2205.14135) Proposition 4: Theta(N·d + N²·d² / M · sparsity).
/// Left out: imbalance between row tiles with more and fewer blocks. Options: tile, sparsity,
/// kept_keys, lse.
Cost block_sparse(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
