// Linear attention: a state of d_qk x d_v per head instead of a cache that grows.
#pragma once
#include "model/attention/tiling.hpp"

namespace kvroof::attention {

/// o_i = q_i·S_i with S_i = S_{i-1} + k_i^T·v_i; prompts in chunks of C = min(options.chunk, s_q)
/// tokens. H = max(h_q, h_kv) heads have a state where fewer heads of q and k are shared (Gated
/// DeltaNet: h_q = h_k), else h_kv have one.
///   state [b, h_kv, d_qk, d_v] fp32, read (if there is a past) and written once per call
///   flops = b·s_q·[H·(C·(d_qk + d_v) + 2·d_qk·d_v) + h_kv·2·d_qk·d_v]; the first term, the causal
///           square inside a chunk, vanishes for s_q = 1
///   read  = state + b·s_q·((h_q + min(h_q, h_kv))·d_qk + h_kv·d_v)·act
///   written = state + b·s_q·H·d_v·act
/// options.delta_rule: S_i = g_i·S_{i-1}·(I - beta_i·k_i^T·k_i) + beta_i·k_i^T·v_i.
///   one token   3·d_qk·d_v more per state: its decay, and k·S before the update (7 in all)
///   chunks      C·(2·d_qk + d_v) + 2·d_qk·d_v more a token and state head: k·k^T inside the chunk,
///               W = T·k, U = T·v, and W·S; as six kernels, which hand over through memory, written
///               and read: W and U, a state per chunk, and T: (d_qk + d_v + d_qk·d_v/C + C)·act
/// K and V of the new tokens are activations, there is no cache: nothing depends on s_kv.
/// A single token runs on the FP32 pipe (it is bound by the state's bytes); chunks on tensor cores.
/// Not modelled: the triangular inverse of a chunk (C^2/3 a token), feature maps. The convolution
/// before is an op of its own.
/// Katharopoulos et al. 2020 (arXiv:2006.16236) eq. 4-9, chunked form of arXiv:2312.06635; gated
/// delta rule: arXiv:2412.06464 eq. 10, its chunks arXiv:2406.06484 section 3.2.
/// Options: chunk, delta_rule.
Cost linear(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
