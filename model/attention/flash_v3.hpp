// FlashAttention-3: TMA, wgmma, warp specialisation and ping-pong on Hopper; bf16/fp16 and FP8.
#pragma once
#include "model/attention/forward.hpp"

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

}  // namespace kvroof::attention
