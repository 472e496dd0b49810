#include "cupti_probe/step_shape.hpp"

#include <fmt/core.h>

#include "model/user_error.hpp"

namespace kvroof::probe {
namespace {

constexpr double kBf16 = 2;

/// Why a layer cannot be run; empty: it can.
std::string obstacle(const LayerGroup& g, int context) {
  const auto* a = std::get_if<GroupedAttention>(&g.attention);
  if (a == nullptr)
    return std::holds_alternative<LatentAttention>(g.attention) ? "latent attention"
                                                                : "linear attention";
  if (a->window > 0 && a->window < context)
    return fmt::format("a window of {} tokens, shorter than the context of {}", a->window, context);
  if (a->d_qk != a->d_v || (a->d_qk != 64 && a->d_qk != 128 && a->d_qk != 256))
    return fmt::format("heads of {} and {}", a->d_qk, a->d_v);
  const auto* mlp = std::get_if<DenseMlp>(&g.mlp);
  if (mlp == nullptr) return "experts";
  if (!mlp->gated) return "an MLP without a gate";
  if (g.parallel) return "attention and MLP side by side";
  return "";
}

}  // namespace

StepShape step_shape(const LlmShape& llm, const StepOptions& o) {
  const int context = o.context, batch = o.batch > 0 ? o.batch : o.prefill ? 1 : 32;
  for (const LayerGroup& g : llm.layers)
    if (const std::string why = obstacle(g, context); !why.empty())
      throw UserError(fmt::format(
          "step: {} has {}: expected a dense network with grouped attention over its whole context "
          "and heads of 64, 128 or 256, such as llama-3.1-8b, qwen3-8b or mistral-small-24b",
          llm.id, why));
  const LayerGroup& first = llm.layers.front();
  for (const LayerGroup& g : llm.layers)
    if (g.attention != first.attention || g.mlp != first.mlp)
      throw UserError("step: " + llm.id + " has layers of several shapes: expected one");

  const auto& a = std::get<GroupedAttention>(first.attention);
  const auto& mlp = std::get<DenseMlp>(first.mlp);
  StepShape x{.name = llm.id, .layers = o.layers > 0 ? o.layers : llm.n_layers()};
  x.args = {{"b", batch},         {"s_kv", context}, {"layers", x.layers}, {"h_q", a.h_q},
            {"h_kv", a.h_kv},     {"d", a.d_qk},     {"d_ff", mlp.d_ff},   {"d_model", llm.d_model},
            {"vocab", llm.vocab}, {"fused", o.fused}};

  const double d = a.d_qk, d_model = llm.d_model, b = batch;
  const double weights = d_model * (2 * a.h_q * d + 2 * a.h_kv * d + 3.0 * mlp.d_ff);
  const double pages = (context + 15) / 16;
  x.layer_bytes = kBf16 * (weights + b * pages * 16 * 2 * a.h_kv * d);
  const double tokens = o.prefill ? b * context : b;
  const double activations = 6 * d_model + (3.0 * a.h_q + 3.0 * a.h_kv) * d + 4.0 * mlp.d_ff;
  x.other_bytes = kBf16 * ((d_model + b) * llm.vocab + tokens * activations) + 4.0 * context * d;
  if (a.qk_norm) x.left_out.emplace_back("the norms of Q and K");
  if (a.qkv_bias || a.o_bias || mlp.bias) x.left_out.emplace_back("biases");
  if (first.norms > 2) x.left_out.emplace_back("norms behind attention and MLP");
  if (llm.weights != Dtype::bf16)
    x.left_out.push_back(fmt::format("weights in {}: they are bf16 here", name(llm.weights)));
  x.left_out.emplace_back("the embedding's gather and sampling");
  return x;
}

}  // namespace kvroof::probe
