#include <algorithm>
#include <cmath>
#include <span>
#include <stdexcept>

#include "model/accuracy/moe_operator.hpp"
#include "model/accuracy/nccl.hpp"
#include "model/accuracy/operator_row.hpp"
#include "model/accuracy/pass.hpp"
#include "model/accuracy/trtllm_attention.hpp"
#include "model/collective.hpp"
#include "model/gemm.hpp"
#include "model/lowering.hpp"
#include "model/ops.hpp"
#include "model/time.hpp"

namespace kvroof::accuracy {
namespace {

constexpr double kDeepSeekWidth = 7168;

bool contains(std::string_view text, std::string_view word) {
  return text.find(word) != std::string_view::npos;
}

/// One layer with this attention and a token mixer that costs next to nothing.
LlmShape one_layer(AttentionKind attention, int d_model, Dtype linear) {
  LlmShape s;
  s.d_model = d_model, s.vocab = 32;
  s.layers = {{.count = 1, .attention = attention, .mlp = DenseMlp{.d_ff = 32}}};
  s.weights = s.attention_weights = linear;
  return s;
}

Seconds sum_of(const LlmShape& shape, const Policy& policy, const Machine& m, const StepLoad& load,
               std::span<const std::string_view> names) {
  const std::vector<Op> all = ops(lower(shape, policy, m), policy, load);
  Seconds t;
  for (const Op& op : all)
    if (std::find(names.begin(), names.end(), op.name) != names.end())
      t += time(op, m, Launch::graph).expected;
  return t;
}

/// A product of TensorRT-LLM's Linear with the kernels that convert its input. FP8 with one scale a
/// tensor finds the scale first: a fill, a maximum over the input and the conversion, three launches
/// (Linear's FP8QDQLinearMethod without a static input scale); the other formats convert in one.
Seconds gemm_time(const OperatorRow& r, const Machine& machine) {
  const double m = r.shape[0], n = r.shape[1], k = r.shape[2];
  const OnChip chip = on_chip(machine);
  const bool weight_only = r.kernel == "weight_only" || r.weights == Dtype::int4_g128;
  MathType math = weight_only ? MathType::bf16 : info(r.weights).math;
  const bool narrow = math == MathType::fp8 || math == MathType::fp4 || math == MathType::int8;
  const ElementSize act = element_size(Dtype::bf16);
  const ElementSize in = narrow ? ElementSize{info(r.weights).bits / 8.0} : act;
  Op op;
  op.name = "gemm", op.math = math;
  op.work = gemm(m, n, k, {.weight = element_size(r.weights), .in = in, .out = act},
                 gemm_tile(m, n, k, chip), chip);
  op.handed_over = op.work.read.activations + op.work.written.activations;
  // The benchmark goes round in up to five copies of the weights; five small ones stay in L2.
  if (5 * op.work.read.weights <= machine.l2_effective) op.handed_over += op.work.read.weights;
  Seconds t = time(op, machine, Launch::graph).expected;
  if (r.weights == Dtype::fp8) t += pass_time(machine, Bytes{m * k * (2 + 2 + 1)}, 3);
  else if (narrow) t += pass_time(machine, Bytes{m * k * (2 + in.value)});
  return t;
}

Seconds attention_time(const OperatorRow& r, const Machine& m) {
  const int d = static_cast<int>(r.shape[5]);
  const GroupedAttention a{.h_q = static_cast<int>(r.shape[3]),
                           .h_kv = static_cast<int>(r.shape[4]),
                           .d_qk = d,
                           .d_v = d,
                           .window = static_cast<int>(r.shape[6])};
  const double b = r.shape[0], isl = r.shape[1], step = r.shape[2];
  if (contains(r.operation, "generation"))
    return generation_attention_time(a, {.requests = b, .past = isl + step - 1, .cache = r.cache},
                                     m);
  return context_attention_time(a, {.requests = b, .tokens = isl, .past = step, .cache = r.cache},
                                m);
}

constexpr LatentAttention kDeepSeek{
    .d_nope = 128, .d_rope = 64, .d_v = 128, .d_c = 512, .q_rank = 1536};

/// The attention of a prompt and its projections: k's part of the latent product is copied beside
/// its rotary part, and the latent beside the rotary key, before the attention call.
Seconds context_module_time(const LlmShape& shape, const LatentAttention& a, const Prompts& x,
                            const Policy& p, const StepLoad& load, const Machine& m) {
  constexpr std::string_view kProjections[] = {"qkv_a_proj", "q_a_norm", "q_b_proj", "kv_a_norm",
                                               "kv_b_proj",  "o_proj",   "quantise"};
  const double rows = x.requests * x.tokens;
  return sum_of(shape, p, m, load, kProjections) + context_attention_time(a, x, m) +
         pass_time(m, Bytes{4 * rows * (a.h_q * a.d_nope + a.d_c + a.d_rope)}, 2);
}

Seconds latent_time(const OperatorRow& r, const Machine& m) {
  const bool module = r.table == OperatorTable::latent_module;
  LatentAttention a = kDeepSeek;
  a.h_q = static_cast<int>(r.shape[3]);
  Policy p;
  p.kv = r.cache;
  const bool decode = contains(r.operation, "generation");
  const double b = r.shape[0], isl = r.shape[1], step = r.shape[2];
  const StepLoad load{decode ? RequestGroup{.requests = b, .s_q = 1, .cached = isl + step - 1}
                             : RequestGroup{.requests = b, .s_q = isl, .cached = step}};
  constexpr std::string_view kKernel[] = {"attention"};
  constexpr std::string_view kModule[] = {"qkv_a_proj",  "q_a_norm",  "q_b_proj", "kv_a_norm",
                                          "q_absorb",    "attention", "v_absorb", "o_proj",
                                          "rope_append", "quantise"};
  const LlmShape s = one_layer(a, static_cast<int>(kDeepSeekWidth), r.weights);
  if (!decode) {
    const Prompts prompts{.requests = b, .tokens = isl, .past = step, .cache = r.cache};
    return module ? context_module_time(s, a, prompts, p, load, m)
                  : context_attention_time(a, prompts, m);
  }
  if (!module && m.architecture == "ampere")
    return unsplit_latent_time(a, {.requests = b, .past = isl + step - 1, .cache = r.cache}, m);
  return module ? sum_of(s, p, m, load, kModule) : sum_of(s, p, m, load, kKernel);
}

Seconds bmm_time(const OperatorRow& r, const Machine& machine) {
  const bool before = contains(r.operation, "pre");
  const double t = r.shape[0], h = r.shape[1], n = before ? 512 : 128, k = before ? 128 : 512;
  const OnChip chip = on_chip(machine);
  Op op;
  op.name = "bmm", op.math = info(r.weights).math;
  op.work = gemm(t, n, k, {.weight = element_size(r.weights)}, gemm_tile(t, n, k, chip), chip, h);
  op.handed_over = op.work.read.activations + op.work.written.activations;
  const Seconds product = time(op, machine, Launch::graph).expected;
  // Hopper's FP8 kernel takes an input with a scale for each 128 values, which a kernel makes first.
  const bool converts = machine.architecture == "hopper" && op.math == MathType::fp8;
  return converts ? product + pass_time(machine, Bytes{t * h * k * (2 + 1)}) : product;
}

Seconds moe_time(const OperatorRow& r, const Machine& m) {
  const auto [tokens, hidden, inter, top_k, experts, tp, ep, exponent, here, slots] = r.shape;
  constexpr double kMostExperts = 4096;
  if (ep > experts || tp < 1 || ep < 1) throw std::runtime_error("more expert ranks than experts");
  if (experts > kMostExperts || slots > kMostExperts)
    throw std::runtime_error("more experts than any network has");
  // The kernels of TensorRT-LLM's own generator, min-latency mode and MXFP4 on Blackwell, route too.
  const bool generated = contains(r.kernel, "min_latency") || r.weights == Dtype::mxfp4;
  const bool early = r.kernel.ends_with(kEarlyRouting) && !generated;
  return moe_operator_time({.routing = {.tokens = tokens,
                                        .top_k = top_k,
                                        .experts = experts,
                                        .ranks = ep,
                                        .exponent = exponent,
                                        .slots = slots},
                            .here = here > 0 ? here : tokens,
                            .hidden = hidden,
                            .inter = std::max(1.0, inter / tp),
                            .gated = !contains(r.kernel, "nongated"),
                            .weights = r.weights,
                            .routed_experts = early ? 128.0 : 512.0,
                            .routed_top_k = early ? 8.0 : 16.0},
                           m);
}

Seconds collective_time(const OperatorRow& r, const Machine& m) {
  const ElementSize size = element_size(r.weights);
  const int ranks = static_cast<int>(r.shape[0]);
  const Bytes payload = Elements{r.shape[1]} * size;
  if (m.nvlink.domain > 1 && ranks > m.nvlink.domain)
    throw std::runtime_error("GPUs of more than one link domain");
  Collective c{.kind = CollectiveKind::all_reduce, .ranks = ranks, .payload = payload};
  if (contains(r.operation, "gather")) c.kind = CollectiveKind::all_gather;
  if (contains(r.operation, "alltoall")) c.kind = CollectiveKind::all_to_all;
  // NCCL's tables state the whole tensor; an all-gather's rank contributes its share of it, and a
  // reduce-scatter sends as much as an all-gather of the result.
  if (contains(r.operation, "reduce_scatter")) c.kind = CollectiveKind::all_gather;
  if (c.kind == CollectiveKind::all_gather) c.payload = payload / ranks;
  if (contains(r.kernel, "NCCL") || contains(r.kernel, "nccl"))
    return nccl_time(m, c, info(r.weights).math != MathType::int8);
  const Seconds in_graph = link_time(c, m.nvlink);
  return contains(r.kernel, "eager") ? in_graph + eager_call() : in_graph;
}

/// MoE tokens to their experts' ranks and back, inside one link domain. DeepEP's rows of 8 H100 and
/// 8 B200, checked on H200 and GB200:
///   low latency  a copy for every expert, through NVLink at half of its rate: FP8 there, BF16 back
///   normal       a copy for every rank that holds a chosen expert, through staging buffers: each
///                SM copies 26 GB/s on the way there and 16 GB/s back, where the sums are made
Seconds exchange_time(const OperatorRow& r, const Machine& m) {
  constexpr Seconds kNormalStart{26e-6}, kNormalReturn{40e-6}, kLowLatencyStart{9.5e-6};
  constexpr Bandwidth kDispatchOfSm{26e9}, kCombineOfSm{16e9};
  constexpr double kLinkShare = 0.5;
  const auto [tokens, hidden, top_k, ranks, sms, a, b, c, d, e] = r.shape;
  if (contains(r.operation, "prepare"))
    throw std::runtime_error("the preparation of an exchange is not modelled");
  if (ranks > m.nvlink.domain) throw std::runtime_error("GPUs of more than one link domain");
  const bool dispatch = contains(r.operation, "dispatch");
  const double off_rank = (ranks - 1) / ranks;
  const double copies = ranks * (1 - std::pow(1 - 1 / ranks, top_k));
  if (sms > 0) {
    const Bytes bytes{2 * tokens * copies * hidden * off_rank};
    return dispatch ? kNormalStart + bytes / (sms * kDispatchOfSm)
                    : kNormalReturn + bytes / (sms * kCombineOfSm);
  }
  if (contains(r.kernel, "deepep")) {
    const Bytes bytes{(dispatch ? 1.0 : 2.0) * tokens * top_k * hidden};
    return kLowLatencyStart + bytes / (kLinkShare * m.nvlink.bandwidth);
  }
  const double size = dispatch && r.weights != Dtype::bf16 ? element_size(r.weights).value : 2;
  return link_time({.kind = CollectiveKind::all_to_all,
                    .ranks = static_cast<int>(ranks),
                    .payload = Bytes{tokens * copies * hidden * size}},
                   m.nvlink);
}

}  // namespace

Seconds operator_time(const OperatorRow& row, const Machine& m) {
  switch (row.table) {
    case OperatorTable::gemm:
      return gemm_time(row, m);
    case OperatorTable::attention:
      return attention_time(row, m);
    case OperatorTable::latent:
    case OperatorTable::latent_module:
      return latent_time(row, m);
    case OperatorTable::latent_bmm:
      return bmm_time(row, m);
    case OperatorTable::moe:
      return moe_time(row, m);
    case OperatorTable::collective:
      return collective_time(row, m);
    case OperatorTable::exchange:
      return exchange_time(row, m);
    case OperatorTable::none:
      break;
  }
  throw std::runtime_error("no such operator");
}

}  // namespace kvroof::accuracy
