#include <algorithm>
#include <cmath>
#include <span>
#include <stdexcept>

#include "model/accuracy/nccl.hpp"
#include "model/accuracy/operator_row.hpp"
#include "model/collective.hpp"
#include "model/elementwise.hpp"
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

/// A product, with the kernel that converts its input where the format asks for one: the tables'
/// FP8 rows never go below the time of two kernels.
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
  Seconds t = time(op, machine, Launch::graph).expected;
  if (narrow) {
    Op convert;
    convert.name = "quantise", convert.op_class = OpClass::elementwise;
    convert.work = elementwise::quantise(m, k, act, in);
    convert.handed_over = convert.work.read.activations + convert.work.written.activations;
    t += time(convert, machine, Launch::graph).expected;
  }
  return t;
}

Seconds attention_time(const OperatorRow& r, const Machine& m) {
  const int d = static_cast<int>(r.shape[5]);
  const GroupedAttention a{.h_q = static_cast<int>(r.shape[3]),
                           .h_kv = static_cast<int>(r.shape[4]),
                           .d_qk = d,
                           .d_v = d,
                           .window = static_cast<int>(r.shape[6])};
  Policy p;
  p.kv = r.cache;
  const bool decode = contains(r.operation, "generation");
  const double b = r.shape[0], isl = r.shape[1], step = r.shape[2];
  const StepLoad load{decode ? RequestGroup{.requests = b, .s_q = 1, .cached = isl + step - 1}
                             : RequestGroup{.requests = b, .s_q = isl, .cached = step}};
  constexpr std::string_view kNames[] = {"attention", "prefill_attention"};
  // The tables' prefill call computes the sequences' offsets, rotates q and k and fills the cache
  // before it attends.
  constexpr std::string_view kWithAppend[] = {"prefill_attention", "rope_append"};
  const LlmShape s = one_layer(a, 1024, Dtype::bf16);
  if (decode) return sum_of(s, p, m, load, kNames);
  return m.fit_of(OpClass::elementwise).ramp + m.launch.graph_node +
         sum_of(s, p, m, load, kWithAppend);
}

Seconds latent_time(const OperatorRow& r, const Machine& m) {
  const bool module = r.table == OperatorTable::latent_module;
  const LatentAttention a{.h_q = static_cast<int>(r.shape[3]),
                          .d_nope = 128,
                          .d_rope = 64,
                          .d_v = 128,
                          .d_c = 512,
                          .q_rank = 1536};
  Policy p;
  p.kv = r.cache;
  const bool decode = contains(r.operation, "generation");
  const double b = r.shape[0], isl = r.shape[1], step = r.shape[2];
  const StepLoad load{decode ? RequestGroup{.requests = b, .s_q = 1, .cached = isl + step - 1}
                             : RequestGroup{.requests = b, .s_q = isl, .cached = step}};
  constexpr std::string_view kKernel[] = {"attention", "prefill_attention"};
  constexpr std::string_view kModule[] = {
      "qkv_a_proj", "q_a_norm", "q_b_proj",          "kv_a_norm", "q_absorb",    "kv_b_proj",
      "attention",  "v_absorb", "prefill_attention", "o_proj",    "rope_append", "quantise"};
  const LlmShape s = one_layer(a, static_cast<int>(kDeepSeekWidth), r.weights);
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
  return time(op, machine, Launch::graph).expected;
}

Seconds moe_time(const OperatorRow& r, const Machine& m) {
  const auto [tokens, hidden, inter, top_k, experts, tp, ep] = r.shape;
  if (ep > experts || tp < 1 || ep < 1) throw std::runtime_error("more expert ranks than experts");
  // A rank holds experts/ep experts of inter/tp columns; tokens routed elsewhere cost it nothing.
  // Expert parallelism with `ep` replicas of the tokens' owners is one data-parallel step.
  LlmShape s = one_layer(GroupedAttention{.h_q = 1, .h_kv = 1, .d_qk = 64, .d_v = 64},
                         static_cast<int>(hidden), r.weights);
  s.layers[0].mlp = MoeMlp{.num_experts = static_cast<int>(experts),
                           .top_k = static_cast<int>(top_k),
                           .d_ff_expert = static_cast<int>(std::max(1.0, inter / tp)),
                           .gated = !contains(r.kernel, "nongated")};
  Policy p;
  p.parallel.data = static_cast<int>(ep), p.parallel.expert = ep > 1;
  const StepLoad load{{.requests = tokens / ep, .s_q = 1, .cached = 1, .logit_rows = 0}};
  constexpr std::string_view kNames[] = {"moe_route",          "moe_permute",  "experts_gate_up",
                                         "experts_activation", "experts_down", "moe_finalize"};
  return sum_of(s, p, m, load, kNames);
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
  if (contains(r.kernel, "NCCL") || contains(r.kernel, "nccl")) return nccl_time(m, c);
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
  const auto [tokens, hidden, top_k, ranks, sms, a, b] = r.shape;
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
