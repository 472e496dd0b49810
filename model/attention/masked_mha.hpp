// Decode before tensor cores were used for it: one thread block per (request, query head), dot
// products on CUDA cores. FasterTransformer's masked multi-head attention, and TensorRT-LLM's until
// its XQA kernel covered every group.
#pragma once
#include "model/attention/variant.hpp"

namespace kvroof::attention {

/// gqa_decode's bytes and paper FLOPs, but no sharing: the h_q / h_kv heads of a group each pass
/// over the cache (the first from HBM, the others through L2), and each cached element is converted
/// and multiplied on the FP32 pipe for every query head:
///   l2_to_sm = (h_q / h_kv)·kv_bytes + q
///   fp32     = b·h_q·s_q·visible·(d_qk + d_v)·slots·2, slots 1 at 16 bits, 6 below (conversion
///              of one element at a time, of which the published FP8 rates of Llama-2-7B on H200
///              leave room for about 13 per clock and SM)
Cost masked_mha(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
