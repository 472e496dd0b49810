// TensorRT-LLM's attention operator as its tables time it: the attention kernel and what is launched
// before it.
#pragma once
#include "model/dtype.hpp"
#include "model/machine.hpp"
#include "model/shape.hpp"

namespace kvroof::accuracy {

/// `requests` prompts of `tokens` each after `past` cached ones. An FP8 cache makes the products
/// FP8 too where the GPU has them.
struct Prompts {
  double requests = 1, tokens = 1, past = 0;
  Dtype cache = Dtype::bf16;
};

/// One call, replayed as a CUDA graph of its own (attentionOp.cpp, enqueueContext):
///   launch of the graph, and a kernel that computes the sequences' offsets
///   preprocess  qkv [t, h_q + 2·h_kv, d] -> rotated q, k in the products' format, and the cache.
///               A thread block of each query head loads q and its group's k and v, and cosines and
///               sines in FP32 (applyBiasRopeUpdateKVCacheV2):
///                 from L2  10·t·h_q·d          to HBM  t·d·(h_q·p + h_kv·(p + 2·c))       [byte]
///               p, c: bytes of an element of the products and of the cache
///   attention   groups are not packed, so tiles and softmax are those of h_q separate heads. Tiles
///               of Hopper's kernels: 128 rows by 256 keys up to d 64, by 128 up to d 128, else by
///               64 (fmha_v2's setup.py); of the others 128 x 128 and 64 x 64. Each wave of tiles
///               takes a fill, and tiles that the mask cuts take FP32 work of every score.
Seconds context_attention_time(const GroupedAttention& a, const Prompts& x, const Machine& m);

/// The same of DeepSeek's MLA, whose q, k [d_nope + d_rope] and v [d_v] per head exist before the
/// call: the second kernel (mlaKernels.cu) rotates q's and k's rotary parts into every head and
/// fills the latent cache; for FP8 products a third converts q, k and v.
Seconds context_attention_time(const LatentAttention& a, const Prompts& x, const Machine& m);

/// One new token of each request (x.tokens 1), replayed likewise: the rotation as above and a kernel
/// whose thread blocks hold the query heads of a group (XQA). Hopper's FP8 kernel rotates by itself.
/// Groups of more than 32 go to the older kernel, a thread block each query head, which does too.
Seconds generation_attention_time(const GroupedAttention& a, const Prompts& x, const Machine& m);

/// MLA's new token without FlashMLA, which is for Hopper: an FMHA whose rows are the heads, so one
/// thread block for 64 of them walks a request's whole cache (attentionOp.cpp, mDecoderFMHARunner).
Seconds unsplit_latent_time(const LatentAttention& a, const Prompts& x, const Machine& m);

}  // namespace kvroof::accuracy
