#include "model/memory_fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/llm_counts.hpp"
#include "model/shard.hpp"

namespace kvroof {
namespace {

double stage_share(const LlmShape& llm, const Parallelism& p) {
  const int layers = llm.n_layers();
  return std::ceil(static_cast<double>(layers) / p.pipeline) / layers;
}

/// The checkpoint's formats, with the policy's quantisation of the linear layers.
LlmShape quantised(LlmShape llm, const Policy& policy) {
  if (policy.weights) llm.weights = llm.attention_weights = *policy.weights;
  return llm;
}

/// Elements per token alive at once in the widest layer: hidden state and residual, gate, up and
/// their product (for each chosen expert in an MoE layer).
double live_elements(const LlmShape& rank) {
  double widest = 0;
  for (const LayerGroup& g : rank.layers) {
    double mlp = 0;
    if (const auto* dense = std::get_if<DenseMlp>(&g.mlp))
      mlp = (dense->gated ? 3.0 : 2.0) * dense->d_ff;
    if (const auto* moe = std::get_if<MoeMlp>(&g.mlp))
      mlp = 3.0 * (moe->top_k * moe->d_ff_expert + moe->d_ff_shared) +
            1.0 * moe->top_k * rank.d_model;
    widest = std::max(widest, mlp);
  }
  return 2.0 * rank.d_model + widest;
}

double round_up(double x, double to) { return std::ceil(x / to) * to; }

std::string gib(Bytes b) { return fmt::format("{:.1f} GiB", b.value / gibi); }

bool fits_with(LlmShape llm, Policy policy, const EngineTraits& engine, const Machine& machine,
               const Demand& demand);

/// Each suggestion changes one thing and has been evaluated.
std::vector<std::string> suggestions(const LlmShape& llm, const Policy& policy,
                                     const EngineTraits& engine, const Machine& machine,
                                     const Demand& demand, const MemoryFit& fit) {
  std::vector<std::string> out;
  const double requests = std::floor(fit.max_concurrency);
  if (requests >= 1) {
    out.push_back(
        fmt::format("{:.0f} requests of {:.0f} tokens", requests, demand.tokens_per_request));
    double low = 0, high = demand.tokens_per_request;  // longest context for all requests
    for (int i = 0; i < 40; ++i) {
      const double middle = std::floor((low + high) / 2 / policy.block_size) * policy.block_size;
      if (middle <= low) break;
      (demand.requests * kv_bytes_per_gpu(llm, policy, middle) <= fit.pool ? low : high) = middle;
    }
    if (low >= policy.block_size)
      out.push_back(fmt::format("{:.0f} requests of {:.0f} tokens", demand.requests, low));
  }
  Policy p = policy;
  if (element_size(p.kv_dtype()) > ElementSize{1.0}) {
    p.kv = Dtype::fp8;
    if (fits_with(llm, p, engine, machine, demand)) out.push_back("kv_cache_dtype fp8");
  }
  p = policy;
  if (!p.weights && element_size(llm.weights) > ElementSize{1.0}) {
    p.weights = Dtype::fp8;
    if (fits_with(llm, p, engine, machine, demand)) out.push_back("quantization fp8");
  }
  p = policy;
  for (int tp = 2 * policy.parallel.tensor; tp <= std::max(8, machine.nvlink.domain); tp *= 2) {
    p.parallel.tensor = tp;
    if (sharding_problem(llm, p.parallel).empty() && fits_with(llm, p, engine, machine, demand)) {
      out.push_back(fmt::format("tensor_parallel_size {}", tp));
      break;
    }
  }
  p = policy;
  for (int pp = 2 * policy.parallel.pipeline; pp <= 8; pp *= 2) {
    p.parallel.pipeline = pp;
    if (sharding_problem(llm, p.parallel).empty() && fits_with(llm, p, engine, machine, demand)) {
      out.push_back(fmt::format("pipeline_parallel_size {}", pp));
      break;
    }
  }
  return out;
}

/// Everything but the suggestions.
MemoryFit evaluate(const LlmShape& llm, const Policy& policy, const EngineTraits& engine,
                   const Machine& machine, const Demand& demand) {
  const LlmShape rank = rank_shape(llm, policy.parallel);
  MemoryFit f;
  f.capacity = machine.memory;
  f.weights = weight_bytes_per_gpu(llm, policy);
  f.activations = Elements{policy.max_num_batched_tokens * live_elements(rank)} *
                      element_size(policy.activations) +
                  Elements{2.0 * policy.max_num_seqs * llm.vocab} * element_size(Dtype::fp32);
  f.graphs = policy.cuda_graphs ? engine.graphs : Bytes{};
  f.context = engine.context;
  const double share = memory_share(policy, engine).share;
  const Bytes beside = f.activations + f.graphs + f.context;
  switch (engine.rule) {
    case MemoryRule::total:
      f.usable = share * f.capacity;
      break;
    case MemoryRule::static_share:
      f.usable = min(share * f.capacity + beside, f.capacity);
      break;
    case MemoryRule::free_after_weights:
      f.usable = f.weights + beside + share * (f.capacity - f.weights - beside);
      break;
  }
  f.pool = f.usable - f.weights - beside;
  f.kv_per_token = kv_bytes_per_token(llm, policy.kv_dtype());
  f.state_per_request = kv_bytes(llm, policy.kv_dtype(), 0);
  f.tokens_per_request = demand.tokens_per_request;
  f.kv_per_request = kv_bytes_per_gpu(llm, policy, demand.tokens_per_request);

  const double blocks_per_request = std::ceil(demand.tokens_per_request / policy.block_size);
  f.blocks_needed = demand.requests * blocks_per_request;
  if (f.pool <= Bytes{}) {
    f.reason =
        fmt::format("weights {}, activations {}, graphs and context {} exceed the usable {} of {}",
                    gib(f.weights), gib(f.activations), gib(f.graphs + f.context), gib(f.usable),
                    gib(f.capacity));
    f.pool = Bytes{};
    return f;
  }
  f.blocks = std::floor(f.pool / f.kv_per_request * blocks_per_request);
  f.pool_tokens = Tokens{f.blocks * policy.block_size};
  f.max_concurrency = f.blocks / blocks_per_request;
  f.fits = f.blocks >= f.blocks_needed;
  if (!f.fits)
    f.reason = fmt::format(
        "the KV cache needs {:.0f} blocks of {} tokens ({} per GPU), the pool holds {:.0f} ({})",
        f.blocks_needed, policy.block_size, gib(demand.requests * f.kv_per_request), f.blocks,
        gib(f.pool));
  return f;
}

bool fits_with(LlmShape llm, Policy policy, const EngineTraits& engine, const Machine& machine,
               const Demand& demand) {
  return evaluate(llm, policy, engine, machine, demand).fits;
}

}  // namespace

MemoryShare memory_share(const Policy& policy, const EngineTraits& engine) {
  switch (engine.rule) {
    case MemoryRule::static_share:
      return {"mem_fraction_static", policy.mem_fraction_static.value_or(engine.memory_fraction)};
    case MemoryRule::free_after_weights:
      return {"kv_cache_free_gpu_memory_fraction",
              policy.kv_cache_free_gpu_memory_fraction.value_or(engine.memory_fraction)};
    case MemoryRule::total:
      break;
  }
  return {"gpu_memory_utilization", policy.gpu_memory_utilization};
}

Bytes weight_bytes_per_gpu(const LlmShape& llm, const Policy& policy) {
  // The fullest stage holds its layers and at most one of embedding and lm_head.
  const LlmShape rank = rank_shape(quantised(llm, policy), policy.parallel);
  const Bytes all = weight_bytes(rank);
  if (policy.parallel.pipeline == 1) return all;
  LlmShape no_vocabulary = rank;
  no_vocabulary.vocab = 0;
  const Bytes layers = weight_bytes(no_vocabulary), tables = all - layers;
  const double ends = rank.tied_embeddings ? 1.0 : 0.5;
  return stage_share(llm, policy.parallel) * layers + ends * tables;
}

Bytes kv_bytes_per_gpu(const LlmShape& llm, const Policy& policy, double tokens) {
  const LlmShape rank = rank_shape(llm, policy.parallel);
  return stage_share(llm, policy.parallel) *
         kv_bytes(rank, policy.kv_dtype(), round_up(tokens, policy.block_size));
}

MemoryFit memory_fit(const LlmShape& llm, const Policy& policy, const EngineTraits& engine,
                     const Machine& machine, const Demand& demand) {
  MemoryFit f = evaluate(llm, policy, engine, machine, demand);
  if (!f.fits) f.would_fit = suggestions(llm, policy, engine, machine, demand, f);
  return f;
}

}  // namespace kvroof
