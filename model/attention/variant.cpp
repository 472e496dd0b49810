#include "model/attention/variant.hpp"

#include <array>

#include "model/attention/block_sparse.hpp"
#include "model/attention/cascade.hpp"
#include "model/attention/flash_decoding.hpp"
#include "model/attention/flash_v1.hpp"
#include "model/attention/flash_v2.hpp"
#include "model/attention/flash_v3.hpp"
#include "model/attention/flash_v4.hpp"
#include "model/attention/gqa_decode.hpp"
#include "model/attention/linear.hpp"
#include "model/attention/masked_mha.hpp"
#include "model/attention/mla_decode.hpp"
#include "model/attention/mla_prefill.hpp"
#include "model/attention/naive.hpp"
#include "model/attention/paged_decode.hpp"
#include "model/attention/quantised_kv.hpp"
#include "model/attention/ragged.hpp"
#include "model/attention/sliding_window.hpp"
#include "model/attention/softmax.hpp"
#include "model/attention/sparse_topk.hpp"

namespace kvroof::attention {
namespace {

constexpr std::array kVariants{
    Variant{"naive", Phase::prefill, "scores in memory, three kernels",
            "arXiv:1706.03762 eq. 1; arXiv:2205.14135 Algorithm 0", naive},
    Variant{"flash_v1", Phase::prefill, "keys outside, O rewritten once per key block",
            "arXiv:2205.14135 Algorithm 1, Theorem 2", flash_v1},
    Variant{"flash_v2", Phase::prefill, "queries outside, O written once, mma.sync",
            "arXiv:2307.08691 Algorithm 1", flash_v2},
    Variant{"flash_v3", Phase::prefill, "Hopper: TMA, wgmma, warp specialisation, FP8",
            "arXiv:2407.08608", flash_v3},
    Variant{"flash_v4", Phase::prefill, "Blackwell: polynomial exp2, conditional rescaling",
            "arXiv:2603.05451 sections 3.1-3.3", flash_v4},
    Variant{"sliding_window", Phase::both, "last keys and sinks only; rolling cache",
            "arXiv:2310.06825; arXiv:2309.17453", sliding_window},
    Variant{"block_sparse", Phase::prefill, "FlashAttention over a block mask",
            "arXiv:2205.14135 Proposition 4", block_sparse},
    Variant{
        "ragged", Phase::both, "variable lengths, chunks over a cache, speculative verify",
        "arXiv:2403.02310; arXiv:2211.17192",
        static_cast<Cost (*)(const AttentionShape&, const Formats&, const OnChip&, const Options&)>(
            ragged)},
    Variant{"gqa_decode", Phase::decode, "unsplit decode, a block per K/V head (MHA, MQA, GQA)",
            "arXiv:1911.02150; arXiv:2305.13245 section 2", gqa_decode},
    Variant{"masked_mha", Phase::decode, "CUDA cores, a block per query head, nothing shared",
            "FasterTransformer; TensorRT-LLM before XQA", masked_mha},
    Variant{"flash_decoding", Phase::decode, "split-KV decode and a combine kernel",
            "https://crfm.stanford.edu/2023/10/12/flashdecoding.html", flash_decoding},
    Variant{"paged_decode", Phase::decode, "decode through a block table", "arXiv:2309.06180",
            paged_decode},
    Variant{"cascade", Phase::decode, "decode with a shared prefix read once",
            "arXiv:2501.01005 section 3.1.2", cascade},
    Variant{"quantised_kv", Phase::decode, "decode over fp8, int8, int4, nvfp4 or mixed caches",
            "arXiv:2402.02750; format definitions", quantised_kv},
    Variant{"mla_decode", Phase::decode, "absorbed decode over the latent cache",
            "arXiv:2405.04434 section 2.1", mla_decode},
    Variant{"mla_prefill", Phase::prefill, "unabsorbed prefill with expanded K and V",
            "arXiv:2405.04434 section 2.1", mla_prefill},
    Variant{"sparse_topk", Phase::both, "indexer and attention over the best tokens",
            "DeepSeek-V3.2-Exp technical report section 2", sparse_topk},
    Variant{"linear", Phase::both, "a fixed state instead of a cache",
            "arXiv:2006.16236; arXiv:2312.06635", linear},
    Variant{"softmax", Phase::part, "safe and online softmax, pass counts",
            "arXiv:1805.02867 Algorithms 2 and 3", softmax},
};

}  // namespace

std::span<const Variant> variants() { return kVariants; }

const Variant* find_variant(std::string_view name) {
  for (const Variant& v : variants())
    if (v.name == name) return &v;
  return nullptr;
}

}  // namespace kvroof::attention
