// Decode over a quantised cache: fewer bytes, more instructions; optionally the newest tokens are
// kept unquantised.
#pragma once
#include "model/attention/split_kv.hpp"

namespace kvroof::attention {

/// flash_decoding with K in f.kv and V in f.kv or options.v_format, scales included (element_size),
/// and options.high_precision newest tokens in f.act:
///   read   = b·h_kv·(recent·(d_qk + d_v)·act + (visible - recent)·(d_qk·k + d_v·v)) + q
///            recent <= visible
///   fp32   = + dequantisation of every quantised element a thread block loads (dequant_work); none
///            where f.math multiplies the format as it is
/// Bytes per element against bf16: fp8 1/2, int8 with a scale a token 1.03, int4 group 128 0.52,
/// nvfp4 0.5625 (4.5 bits), mxfp4 0.53. Left out: quantising new tokens (part of the cache append).
/// KIVI (arXiv:2402.02750) for recent tokens in high precision; format sizes from their vendors'
/// definitions. Options: tile, splits, packed_group, high_precision, recent_tile, v_format.
Cost quantised_kv(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
