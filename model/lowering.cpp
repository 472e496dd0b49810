#include "model/lowering.hpp"

#include <stdexcept>
#include <string>

#include "model/shard.hpp"

namespace kvroof {
namespace {

using attention::Phase;
using attention::Variant;

/// Layers with a latent, an indexer or a state have kernels of their own; nothing else can run them.
bool own_layers(std::string_view variant) {
  return variant == "mla_prefill" || variant == "mla_decode" || variant == "sparse_topk" ||
         variant == "linear";
}

/// The kernel of layers with K/V heads.
const Variant* pick(const std::string& asked, std::string_view automatic, Phase phase) {
  const std::string_view wanted = asked == "auto" ? automatic : std::string_view(asked);
  const auto fits = [&](const Variant& v) {
    return (v.phase == phase || v.phase == Phase::both) && !own_layers(v.name);
  };
  const Variant* v = attention::find_variant(wanted);
  if (v && fits(*v)) return v;
  std::string known;
  for (const Variant& o : attention::variants())
    if (fits(o)) known += (known.empty() ? "" : ", ") + std::string(o.name);
  throw std::invalid_argument("expected an attention variant of K/V heads for " +
                              std::string(phase == Phase::prefill ? "prefill" : "decode") +
                              ", got '" + std::string(wanted) + "' (known: " + known + ")");
}

std::string_view newest_prefill(const Machine& m) {
  if (m.architecture == "hopper") return "flash_v3";
  if (m.architecture == "blackwell") return "flash_v4";
  return "flash_v2";
}

}  // namespace

OnChip on_chip(const Machine& m) {
  OnChip chip{.num_sms = m.num_sms, .l2_effective = m.l2_effective};
  if (m.l2.achieved > Bandwidth{})
    chip.l2_ridge = m.roof(MathType::bf16).peak / m.l2.achieved / Intensity{1};
  return chip;
}

Lowering lower(const LlmShape& llm, const Policy& policy, const Machine& m) {
  Lowering l;
  l.rank = rank_shape(llm, policy.parallel);
  l.on_chip = on_chip(m);
  l.prefill = pick(policy.prefill_attention, newest_prefill(m), Phase::prefill);
  l.decode = pick(policy.decode_attention, "flash_decoding", Phase::decode);
  l.sliding = attention::find_variant("sliding_window");
  l.latent_prefill = attention::find_variant("mla_prefill");
  l.latent_decode = attention::find_variant("mla_decode");
  l.sparse = attention::find_variant("sparse_topk");
  l.linear_state = attention::find_variant("linear");
  for (const DtypeInfo& i : kDtypes) {
    // MXFP4 weights meet MXFP8 activations on Blackwell: the FP8 rate.
    MathType math = i.dtype == Dtype::mxfp4 && m.roof(MathType::fp4).peak > Throughput{}
                        ? MathType::fp8
                        : i.math;
    if (m.roof(math).peak <= Throughput{}) math = MathType::bf16;
    l.math[static_cast<std::size_t>(i.dtype)] = math;
  }
  l.linear = policy.weights.value_or(llm.weights);
  l.attention = policy.weights.value_or(llm.attention_weights);
  l.head = llm.head_weights;
  l.act = policy.activations;
  l.kv = policy.kv_dtype();
  return l;
}

}  // namespace kvroof
