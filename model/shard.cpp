#include "model/shard.hpp"

#include <algorithm>

namespace kvroof {
namespace {

int divide_up(int n, int by) { return (n + by - 1) / by; }

AttentionKind cut(GroupedAttention a, const Parallelism& p) {
  a.h_q = divide_up(a.h_q, p.tensor);
  a.h_kv = std::max(1, a.h_kv / p.tensor);
  return a;
}
AttentionKind cut(LatentAttention a, const Parallelism& p) {
  a.h_q = divide_up(a.h_q, p.tensor);
  return a;
}
AttentionKind cut(LinearAttention a, const Parallelism& p) {
  a.h_k = std::max(1, a.h_k / p.tensor);
  a.h_v = divide_up(a.h_v, p.tensor);
  return a;
}
MlpKind cut(DenseMlp m, const Parallelism& p) {
  m.d_ff = divide_up(m.d_ff, p.tensor);
  return m;
}
MlpKind cut(MoeMlp m, const Parallelism& p) {
  if (p.expert) m.num_experts = divide_up(m.num_experts, expert_ranks(p));
  else m.d_ff_expert = divide_up(m.d_ff_expert, p.tensor);
  m.d_ff_shared = divide_up(m.d_ff_shared, p.tensor);
  return m;
}

/// The heads that tensor parallelism deals out, by their name in config.json.
struct Heads {
  const char* name;
  int count;
};
Heads split_heads(const GroupedAttention& a) { return {"num_attention_heads", a.h_q}; }
Heads split_heads(const LatentAttention& a) { return {"num_attention_heads", a.h_q}; }
Heads split_heads(const LinearAttention& a) { return {"linear_num_value_heads", a.h_v}; }

std::string indivisible(const char* what, int n, const char* by, int ranks) {
  return std::string(what) + " " + std::to_string(n) + " is not divisible by " + by + " " +
         std::to_string(ranks);
}

}  // namespace

LlmShape rank_shape(const LlmShape& llm, const Parallelism& p) {
  LlmShape rank = llm;
  rank.vocab = divide_up(llm.vocab, p.tensor);
  for (LayerGroup& g : rank.layers) {
    g.attention = std::visit([&](const auto& a) { return cut(a, p); }, g.attention);
    g.mlp = std::visit([&](const auto& m) { return cut(m, p); }, g.mlp);
  }
  return rank;
}

std::string sharding_problem(const LlmShape& llm, const Parallelism& p) {
  if (p.pipeline > llm.n_layers())
    return "pipeline_parallel_size " + std::to_string(p.pipeline) + " exceeds the " +
           std::to_string(llm.n_layers()) + " layers";
  for (const LayerGroup& g : llm.layers) {
    const Heads heads = std::visit([](const auto& a) { return split_heads(a); }, g.attention);
    if (heads.count % p.tensor)
      return indivisible(heads.name, heads.count, "tensor_parallel_size", p.tensor);
    if (const auto* a = std::get_if<GroupedAttention>(&g.attention))
      if (a->h_kv % p.tensor && p.tensor % a->h_kv)
        return indivisible("num_key_value_heads", a->h_kv, "tensor_parallel_size", p.tensor);
    if (const auto* m = std::get_if<MoeMlp>(&g.mlp))
      if (m->num_experts % expert_ranks(p))
        return indivisible("num_experts", m->num_experts, "the number of expert ranks",
                           expert_ranks(p));
  }
  return {};
}

}  // namespace kvroof
