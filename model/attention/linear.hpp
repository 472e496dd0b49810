// Linear attention: a state of d_qk x d_v per head instead of a cache that grows.
#pragma once
#include "model/attention/tiling.hpp"

namespace kvroof::attention {

/// o_i = q_i·S_i with S_i = S_{i-1} + k_i^T·v_i; prompts in chunks of C = min(options.chunk, s_q)
/// tokens.
///   state [b, h_kv, d_qk, d_v] fp32, read (if there is a past) and written once per call
///   flops = b·s_q·[h_q·(C·(d_qk + d_v) + 2·d_qk·d_v) + h_kv·2·d_qk·d_v]; the first term, the
///   causal
///           square inside a chunk, vanishes for s_q = 1
///   read  = state + b·s_q·(h_q·d_qk + h_kv·(d_qk + d_v))·act    written = state +
///   b·h_q·s_q·d_v·act
/// K and V of the new tokens are activations, there is no cache: nothing depends on s_kv.
/// A single token runs on the FP32 pipe (it is bound by the state's bytes); chunks on tensor cores.
/// Not modelled: gates, decay and delta rules (they add elementwise work and small triangular
/// solves), short convolutions, feature maps, and the chunk-parallel two-pass scheme's extra state
/// traffic. Katharopoulos et al. 2020 (arXiv:2006.16236) eq. 4-9, chunked form of arXiv:2312.06635.
/// Options: chunk.
Cost linear(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
