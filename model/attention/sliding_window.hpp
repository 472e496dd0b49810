// Sliding-window attention, with attention sinks and a rolling cache.
#pragma once
#include "model/attention/forward.hpp"
#include "model/attention/split_kv.hpp"

namespace kvroof::attention {

/// Tokens of one request a rolling cache keeps: min(s_kv, window + sinks); s_kv without a window.
/// Mistral 7B (arXiv:2310.06825): 4096 of 32768, 8 times less.
double rolling_cache_tokens(double s_kv, double window, double sinks);

/// Each query sees its last x.window keys and the first options.sinks tokens (StreamingLLM,
/// arXiv:2309.17453). s_q = 1: flash_decoding over rolling_cache_tokens; else flash_v3 over the key
/// tiles that the window or the sinks touch.
///   flops = 2·b·h_q·pairs·(d_qk + d_v)       pairs -> s_q·(window + sinks) once past the window
///   read  = b·h_kv·min(s_kv, window + s_q - 1 + sinks)·(d_qk + d_v)·kv + q
/// A window that covers all keys is plain causal attention. gpt-oss's learned sink is one logit a
/// head and costs nothing here. Options: tile, splits, packed_group, sinks, lse.
Cost sliding_window(const AttentionShape& x, const Formats& f, const OnChip& chip,
                    const Options& o);

}  // namespace kvroof::attention
