#include "model/ops.hpp"

#include <algorithm>

#include "model/attention/mla_decode.hpp"
#include "model/collective.hpp"
#include "model/elementwise.hpp"
#include "model/gemm.hpp"
#include "model/llm_counts.hpp"
#include "model/moe.hpp"
#include "model/shard.hpp"

namespace kvroof {
namespace {

/// Totals of a step's load. A request with one new token decodes,
/// one with more prefills (or verifies).
struct Rows {
  double tokens = 0, logits = 0;
};

Rows rows_of(const StepLoad& load) {
  Rows r;
  for (const RequestGroup& g : load) {
    r.tokens += g.requests * g.s_q;
    r.logits += g.requests * g.logit_rows;
  }
  return r;
}

/// A request whose past is longer than what it may attend to; shorter ones attend to all of it, and
/// engines take the dense kernels then.
bool chooses(const LatentAttention& a, const RequestGroup& g) {
  return a.index_topk > 0 && g.s_kv() > a.index_topk;
}

/// Details of a linear layer.
/// `separate_input`: no earlier kernel of the layer can quantise the input.
struct Linear {
  bool bias = false;
  double batch = 1;
  bool separate_input = false;
};

/// Appends ops of one layer group; holds what all of them share.
class Builder {
 public:
  Builder(const Policy& p, const Lowering& l, const StepLoad& load, int d_model,
          std::vector<Op>& out)
      : p_(p),
        l_(l),
        load_(load),
        rows_(rows_of(load)),
        act_(element_size(l.act)),
        d_(d_model),
        out_(out) {}

  const Rows& rows() const { return rows_; }

  void add(std::string_view name, OpClass op_class, const Work& work,
           MathType math = MathType::bf16, Execution execution = {}) {
    if (work.launches <= 0 || count_ <= 0) return;
    Op& op = out_.emplace_back();
    op.name = name, op.op_class = op_class, op.math = math, op.count = count_;
    op.work = work, op.execution = execution;
    op.handed_over = work.read.activations + work.written.activations;
  }

  /// [m, k] · [k, n] with weights of format `w`; quantised products convert their input first, in
  /// the norm or activation kernel before them where elementwise ops are fused.
  void linear(std::string_view name, double m, double n, double k, Dtype w, Linear how = {}) {
    if (m <= 0) return;
    const MathType math = l_.math_of(w);
    const bool narrow = math == MathType::fp8 || math == MathType::fp4 || math == MathType::int8;
    const ElementSize in = narrow ? ElementSize{info(w).bits / 8} : act_;
    if (narrow && (how.separate_input || !p_.fused_elementwise))
      add("quantise", OpClass::elementwise, elementwise::quantise(m, k, act_, in));
    const GemmFormats f{.weight = element_size(w), .in = in, .out = act_, .bias = how.bias};
    const GemmTile tile = gemm_tile(m, n, k, l_.on_chip);
    add(name, OpClass::gemm, gemm(m, n, k, f, tile, l_.on_chip, how.batch), math);
  }

  void all_reduce(std::string_view name, double tokens) {
    collective(name,
               {CollectiveKind::all_reduce, p_.parallel.tensor, Elements{tokens * d_} * act_});
  }

  void collective(std::string_view name, const Collective& c) {
    if (trivial(c)) return;
    add(name, OpClass::collective, collective_work(c));
    out_.back().collective = c;
  }

  void layer_group(const LayerGroup& g);
  /// The attention kernels alone.
  void attention_of(const LayerGroup& g) {
    count_ = g.count;
    std::visit([&](const auto& a) { kernels(a); }, g.attention);
  }
  void set_count(double n) { count_ = n; }

 private:
  void attend(const GroupedAttention& a);
  void attend(const LatentAttention& a);
  void attend(const LinearAttention& a);
  void kernels(const GroupedAttention& a);
  void kernels(const LatentAttention& a);
  void kernels(const LinearAttention& a);
  void indexer(const LatentAttention& a);
  void mix(const DenseMlp& m);
  void mix(const MoeMlp& m);
  void gated_mlp(double tokens, double d_ff, bool gated, bool bias, bool shared);
  void attention_op(const AttentionShape& x, const RequestGroup& g, const attention::Variant& v,
                    attention::Options options = {});
  void norm(std::string_view name, bool residual, bool bias);

  const Policy& p_;
  const Lowering& l_;
  const StepLoad& load_;
  Rows rows_;
  ElementSize act_;
  double d_;
  std::vector<Op>& out_;
  double count_ = 1;
};

void Builder::norm(std::string_view name, bool residual, bool bias) {
  add(name, OpClass::elementwise,
      residual ? elementwise::residual_norm(rows_.tokens, d_, act_, bias, p_.fused_elementwise)
               : elementwise::norm(rows_.tokens, d_, act_, bias));
}

void Builder::attention_op(const AttentionShape& x, const RequestGroup& g,
                           const attention::Variant& v, attention::Options options) {
  const bool single = g.s_q == 1;
  const attention::Formats f{.act = l_.act, .kv = l_.kv, .math = l_.math_of(l_.act)};
  options.block_size = static_cast<double>(p_.block_size);
  const attention::Cost c = v.cost(x, f, l_.on_chip, options);
  add(single ? "attention" : "prefill_attention",
      single ? OpClass::decode_attention : OpClass::prefill_attention, c.work, f.math, c.execution);
  // q and o are handed over like any activation;
  // what the variant itself keeps on chip is among them.
  out_.back().handed_over = max(out_.back().handed_over, c.handed_over);
}

void Builder::attend(const GroupedAttention& a) {
  const double h_q = a.h_q, t = rows_.tokens;
  const double q = h_q * a.d_qk, kv = 1.0 * a.h_kv * (a.d_qk + a.d_v);
  const double gate = a.output_gate ? h_q * a.d_v : 0;
  linear("qkv_proj", t, q + gate + kv, d_, l_.attention, {.bias = a.qkv_bias});
  add("rope_append", OpClass::elementwise,
      elementwise::rope_append(t, q, kv, Elements{kv} * element_size(l_.kv), act_,
                               a.qk_norm ? a.d_qk * 2.0 : 0, p_.fused_elementwise));
  kernels(a);
  if (gate > 0) add("output_gate", OpClass::elementwise, elementwise::gate(t, gate, act_));
  linear("o_proj", t, d_, h_q * a.d_v, l_.attention, {.bias = a.o_bias, .separate_input = true});
}

void Builder::attend(const LatentAttention& a) {
  const double h_q = a.h_q, t = rows_.tokens, d_qk = a.d_nope + a.d_rope;
  if (a.q_rank > 0) {
    // q and kv down-projections read the same input: one product.
    linear("qkv_a_proj", t, a.q_rank + a.d_c + a.d_rope, d_, l_.attention);
    add("q_a_norm", OpClass::elementwise, elementwise::norm(t, a.q_rank, act_, false));
    linear("q_b_proj", t, h_q * d_qk, a.q_rank, l_.attention);
  } else {
    linear("q_proj", t, h_q * d_qk, d_, l_.attention);
    linear("kv_a_proj", t, a.d_c + a.d_rope, d_, l_.attention);
  }
  add("kv_a_norm", OpClass::elementwise, elementwise::norm(t, a.d_c, act_, false));
  const Bytes cached = attention::mla_token_bytes(a.d_c, a.d_rope, l_.kv);
  add("rope_append", OpClass::elementwise,
      elementwise::rope_append(t, h_q * a.d_rope, a.d_c + a.d_rope, cached, act_, 0,
                               p_.fused_elementwise));
  if (a.index_topk > 0) indexer(a);
  // Absorbed (decode, and whatever chooses among its past): q·W_uk per head before, ·W_uv per head
  // after; W_uk and W_uv together are kv_b_proj and are kept in the activations' format. Other
  // prefills expand the latent of every key they attend to.
  double absorbed = 0, expanded = 0;
  for (const RequestGroup& g : load_)
    if (g.s_q == 1 || chooses(a, g)) absorbed += g.requests * g.s_q;
    else expanded += g.requests * g.s_kv();
  linear("q_absorb", absorbed, a.d_c, a.d_nope, l_.act, {.batch = h_q});
  linear("kv_b_proj", expanded, h_q * (a.d_nope + a.d_v), a.d_c, l_.attention);
  kernels(a);
  linear("v_absorb", absorbed, a.d_v, a.d_c, l_.act, {.batch = h_q});
  linear("o_proj", t, d_, h_q * a.d_v, l_.attention, {.separate_input = true});
}

/// The indexer's queries, keys and head weights; scoring and selection are the kernels' part. Every
/// rank holds all of it.
void Builder::indexer(const LatentAttention& a) {
  const double t = rows_.tokens, q = 1.0 * a.index_heads * a.index_dim;
  linear("index_q_proj", t, q, a.q_rank, l_.attention);
  linear("index_k_proj", t, a.index_dim + a.index_heads, d_, l_.attention);
  add("index_append", OpClass::elementwise,
      elementwise::rope_append(t, q, a.index_dim, index_token_bytes(a), act_, 2.0 * a.index_dim,
                               p_.fused_elementwise));
}

void Builder::attend(const LinearAttention& a) {
  const double t = rows_.tokens, channels = a.channels(), width = 1.0 * a.h_v * a.d_v;
  double requests = 0;
  for (const RequestGroup& g : load_) requests += g.requests;
  linear("qkvz_proj", t, channels + width, d_, l_.attention);
  linear("beta_decay_proj", t, 2.0 * a.h_v, d_, l_.act);
  add("causal_conv", OpClass::elementwise,
      elementwise::causal_conv(t, requests, channels, a.conv, act_));
  kernels(a);
  add("gated_norm", OpClass::elementwise, elementwise::gate(t, width, act_));
  linear("o_proj", t, d_, width, l_.attention, {.separate_input = true});
}

void Builder::kernels(const GroupedAttention& a) {
  for (const RequestGroup& g : load_) {
    const AttentionShape x{.b = g.requests,
                           .s_q = g.s_q,
                           .s_kv = g.s_kv(),
                           .h_q = 1.0 * a.h_q,
                           .h_kv = 1.0 * a.h_kv,
                           .d_qk = 1.0 * a.d_qk,
                           .d_v = 1.0 * a.d_v,
                           .causal = true,
                           .window = 1.0 * a.window};
    const bool local = a.window > 0 && a.window < x.s_kv;
    attention_op(x, g, local ? *l_.sliding : g.s_q == 1 ? *l_.decode : *l_.prefill);
  }
}

void Builder::kernels(const LatentAttention& a) {
  for (const RequestGroup& g : load_) {
    const bool sparse = chooses(a, g), single = g.s_q == 1;
    AttentionShape x{.b = g.requests,
                     .s_q = g.s_q,
                     .s_kv = g.s_kv(),
                     .h_q = 1.0 * a.h_q,
                     .h_kv = 1.0 * a.h_q,
                     .d_qk = 1.0 * a.d_nope + a.d_rope,
                     .d_v = 1.0 * a.d_v};
    if (single || sparse) x.h_kv = 1, x.d_qk = a.d_c + a.d_rope, x.d_v = a.d_c;
    attention_op(x, g,
                 sparse   ? *l_.sparse
                 : single ? *l_.latent_decode
                          : *l_.latent_prefill,
                 {.top_k = 1.0 * a.index_topk,
                  .index_heads = 1.0 * a.index_heads,
                  .index_dim = 1.0 * a.index_dim});
  }
}

void Builder::kernels(const LinearAttention& a) {
  for (const RequestGroup& g : load_)
    attention_op({.b = g.requests,
                  .s_q = g.s_q,
                  .s_kv = g.s_kv(),
                  .h_q = 1.0 * a.h_k,
                  .h_kv = 1.0 * a.h_v,
                  .d_qk = 1.0 * a.d_k,
                  .d_v = 1.0 * a.d_v},
                 g, *l_.linear_state, {.delta_rule = true});
}

void Builder::gated_mlp(double tokens, double d_ff, bool gated, bool bias, bool shared) {
  linear(shared  ? "shared_gate_up"
         : gated ? "gate_up_proj"
                 : "up_proj",
         tokens, (gated ? 2 : 1) * d_ff, d_, l_.linear, {.bias = bias});
  add(shared ? "shared_activation" : "activation", OpClass::elementwise,
      elementwise::activation(tokens, d_ff, act_, gated, p_.fused_elementwise));
  linear(shared ? "shared_down" : "down_proj", tokens, d_, d_ff, l_.linear, {.bias = bias});
}

void Builder::mix(const DenseMlp& m) { gated_mlp(rows_.tokens, m.d_ff, m.gated, m.bias, false); }

void Builder::mix(const MoeMlp& m) {
  const Parallelism& par = p_.parallel;
  const double t = rows_.tokens;
  // With expert parallelism the tokens of all data replicas meet; without, each rank holds a slice
  // of all.
  const double ranks = expert_ranks(par), all_experts = m.num_experts * ranks;
  const double all_tokens = par.expert ? t * par.data : t;
  linear("router", t, all_experts, d_, l_.act, {.bias = m.router_bias});
  const double pairs = all_tokens * m.top_k / ranks;
  const double touched = experts_touched(all_experts, m.top_k, all_tokens) / ranks;
  const ExpertShard e{
      .d_ff = 1.0 * m.d_ff_expert, .assignments = pairs, .touched = std::min(touched, pairs)};
  const Dtype w = l_.linear;
  const MathType math = l_.math_of(w);
  const GemmFormats f{.weight = element_size(w), .in = act_, .out = act_, .bias = m.bias};
  const Collective dispatch{CollectiveKind::all_to_all, static_cast<int>(ranks),
                            Elements{t / par.tensor * m.top_k * d_} * act_};
  if (par.expert && par.data > 1) collective("moe_dispatch", dispatch);
  // A rank gathers the rows of the tokens that chose one of its experts.
  const double here = all_tokens * std::min(1.0, m.top_k / ranks);
  add("moe_route", OpClass::elementwise,
      elementwise::moe_route(all_tokens, all_experts, all_tokens * m.top_k, act_));
  add("moe_permute", OpClass::elementwise, elementwise::moe_permute(here, pairs, d_, act_));
  add("experts_gate_up", OpClass::moe_gemm,
      experts_gemm(e, (m.gated ? 2 : 1) * e.d_ff, d_, f, l_.on_chip), math);
  add("experts_activation", OpClass::elementwise,
      elementwise::activation(e.assignments, e.d_ff, act_, m.gated, p_.fused_elementwise));
  add("experts_down", OpClass::moe_gemm, experts_gemm(e, d_, e.d_ff, f, l_.on_chip), math);
  add("moe_finalize", OpClass::elementwise, elementwise::moe_finalize(here, pairs, d_, act_));
  if (par.expert && par.data > 1) collective("moe_combine", dispatch);
  if (m.d_ff_shared > 0) gated_mlp(t, m.d_ff_shared, m.gated, m.bias, true);
}

void Builder::layer_group(const LayerGroup& g) {
  count_ = g.count;
  norm("input_norm", true, g.norm_bias);
  std::visit([&](const auto& a) { attend(a); }, g.attention);
  if (!g.parallel) {
    all_reduce("all_reduce_attn", rows_.tokens);
    norm("post_norm", true, g.norm_bias);
    for (int i = 2; i < g.norms; ++i) norm("extra_norm", false, g.norm_bias);
  }
  std::visit([&](const auto& m) { mix(m); }, g.mlp);
  all_reduce("all_reduce_mlp", rows_.tokens);
}

}  // namespace

std::vector<Op> ops(const Lowering& l, const Policy& policy, const StepLoad& load) {
  const LlmShape& rank = l.rank;
  std::vector<Op> out;
  out.reserve(16 * rank.layers.size() + 4 * load.size() + 8);
  Builder b(policy, l, load, rank.d_model, out);
  const Rows& r = b.rows();
  const ElementSize act = element_size(l.act);
  b.add("embedding", OpClass::elementwise,
        elementwise::embedding(r.tokens, rank.d_model, element_size(l.head), act,
                               rank.learned_positions > 0));
  for (const LayerGroup& g : rank.layers) b.layer_group(g);
  b.set_count(1);
  b.add("final_norm", OpClass::elementwise,
        elementwise::norm(r.logits, rank.d_model, act, rank.final_norm_bias));
  const int tp = policy.parallel.tensor, pp = policy.parallel.pipeline;
  b.linear("lm_head", r.logits, rank.vocab, rank.d_model, l.head);
  b.collective("gather_logits",
               {CollectiveKind::all_gather, tp, Elements{r.logits * rank.vocab} * act});
  b.set_count(pp - 1);
  if (pp > 1)
    b.collective("pipeline_send",
                 {CollectiveKind::send, tp * pp, Elements{r.tokens * rank.d_model / tp} * act});
  return out;
}

void attention_ops(const Lowering& l, const Policy& policy, const StepLoad& load,
                   std::vector<Op>& out) {
  out.clear();
  Builder b(policy, l, load, l.rank.d_model, out);
  for (const LayerGroup& g : l.rank.layers) b.attention_of(g);
}

}  // namespace kvroof
