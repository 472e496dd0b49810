#include "model/attention/variant.hpp"

#include <array>

#include "model/attention/flash_decoding.hpp"
#include "model/attention/flash_v1.hpp"
#include "model/attention/flash_v2.hpp"
#include "model/attention/flash_v3.hpp"
#include "model/attention/gqa_decode.hpp"
#include "model/attention/mla_decode.hpp"
#include "model/attention/mla_prefill.hpp"
#include "model/attention/naive.hpp"
#include "model/attention/paged_decode.hpp"

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
    Variant{"gqa_decode", Phase::decode, "unsplit decode, a block per K/V head (MHA, MQA, GQA)",
            "arXiv:1911.02150; arXiv:2305.13245 section 2", gqa_decode},
    Variant{"flash_decoding", Phase::decode, "split-KV decode and a combine kernel",
            "https://crfm.stanford.edu/2023/10/12/flashdecoding.html", flash_decoding},
    Variant{"paged_decode", Phase::decode, "decode through a block table", "arXiv:2309.06180",
            paged_decode},
    Variant{"mla_decode", Phase::decode, "absorbed decode over the latent cache",
            "arXiv:2405.04434 section 2.1", mla_decode},
    Variant{"mla_prefill", Phase::prefill, "unabsorbed prefill with expanded K and V",
            "arXiv:2405.04434 section 2.1", mla_prefill},
};

}  // namespace

std::span<const Variant> variants() { return kVariants; }

const Variant* find_variant(std::string_view name) {
  for (const Variant& v : variants())
    if (v.name == name) return &v;
  return nullptr;
}

}  // namespace kvroof::attention
