#include "model/claim_quantities.hpp"

#include <array>
#include <cmath>

#include "model/llm_counts.hpp"
#include "model/memory_fit.hpp"
#include "model/moe.hpp"
#include "model/predict.hpp"
#include "model/profile.hpp"
#include "model/search_path.hpp"
#include "model/serving/continuous_batching.hpp"
#include "model/serving/kv_allocation.hpp"
#include "model/serving/prefix_cache.hpp"
#include "model/serving/speculative.hpp"
#include "model/serving/static_batching.hpp"
#include "model/shard.hpp"
#include "model/user_error.hpp"

namespace kvroof::claims {
namespace {

Machine machine(const std::string& id) {
  return to_machine(load_profile(find_profile(id, search_roots())));
}

/// The network with its linear layers in c.dtype; embedding and lm_head stay as they are.
LlmShape llm(const Compute& c) {
  LlmShape shape = load_llm(c.model).shape;
  if (c.dtype) shape.weights = shape.attention_weights = *c.dtype;
  return shape;
}

Dtype kv_format(const Compute& c) { return c.kv_dtype.value_or(Dtype::bf16); }
double requests(const Compute& c) { return c.requests.value_or(1); }
double gpus(const Compute& c) { return c.gpus.value_or(1); }

Policy policy(const Compute& c) {
  Policy p;
  p.parallel.tensor = static_cast<int>(gpus(c));
  p.kv = c.kv_dtype;
  p.weights = c.dtype;
  if (c.utilisation) p.gpu_memory_utilization = *c.utilisation;
  return p;
}

double kv(const Compute& c) {
  return requests(c) * kv_bytes(llm(c), kv_format(c), *c.context).value;
}

double read_bytes(const Compute& c) {
  Bytes sum;
  for (const WeightRead& w : weights_read_per_token(llm(c))) sum += w.bytes();
  return sum.value;
}

/// Bytes a decode step reads: every weight once, and each request's cache.
double step_bytes(const Compute& c) { return read_bytes(c) + (c.context ? kv(c) : 0); }
double step_time(const Compute& c) {
  return step_bytes(c) / (gpus(c) * machine(c.hardware).hbm.peak.value);
}

GroupedAttention heads(const Compute& c) {
  const int d = static_cast<int>(*c.d);
  return {.h_q = static_cast<int>(c.h_q.value_or(*c.h_kv)),
          .h_kv = static_cast<int>(*c.h_kv),
          .d_qk = d,
          .d_v = d};
}

/// Elements one layer of the network caches per token.
double layer_cache(const Compute& c) {
  return kv_elements_per_token(llm(c).layers.back().attention).value;
}

GroupedAttention grouped(const LlmShape& shape) {
  const auto* a = std::get_if<GroupedAttention>(&shape.layers.front().attention);
  if (!a) throw UserError("model " + shape.id + ": this quantity needs K/V heads, got a latent");
  return *a;
}

double pool(const Compute& c) {
  return c.utilisation.value_or(1) * gpus(c) * c.memory->value - weight_bytes(llm(c)).value;
}

/// The engine's own memory rule: weights, activations, graphs and the cache of these requests.
double fits(const Compute& c) {
  return memory_fit(load_llm(c.model).shape, policy(c), *find_engine("vllm"), machine(c.hardware),
                    {.requests = requests(c), .tokens_per_request = c.context.value_or(1)})
      .fits;
}

Throughput peak(const Compute& c) {
  const MathType math = info(c.dtype.value_or(Dtype::bf16)).math;
  const Throughput rate = machine(c.hardware).roof(math).peak;
  if (rate == Throughput{})
    throw UserError(c.hardware + " has no " + std::string(kvroof::name(math)) + " unit");
  return rate;
}

/// The kernel on an A100's chip unless the claim names another.
Work work(const Compute& c, const KernelCall& k) {
  const Machine m = machine(c.hardware.empty() ? "a100-sxm-40gb" : c.hardware);
  return attention::find_variant(k.variant)
      ->cost(k.shape, k.formats(), {m.num_sms, m.l2_effective}, k.options)
      .work;
}

/// Forward and backward of one training step.
double both_ways(const Compute& c, KernelCall k) {
  k.options.backward = false;
  const double forward = work(c, k).hbm().value;
  k.options.backward = true;
  return forward + work(c, k).hbm().value;
}

/// What the tiles load, hit or miss in L2, and what is written.
double tile_bytes(const Compute& c) {
  const Work w = work(c, *c.kernel);
  return w.l2_to_sm.value + w.hbm_written().value;
}

/// Matrix parameters one token multiplies, lm_head left out: a prompt needs it for one token only.
double prompt_params(const Compute& c) {
  double sum = 0;
  for (const WeightRead& w : weights_read_per_token(llm(c)))
    if (w.op != "lm_head" && w.op != "norms") sum += static_cast<double>(w.params);
  return sum;
}

/// 2·P·n and causal attention, at the datasheet peak.
double prefill_flops(const Compute& c) {
  const LlmShape shape = llm(c);
  const GroupedAttention a = grouped(shape);
  return serving::saved_flops(prompt_params(c), shape.n_layers(), a.h_q, a.d_qk, *c.context).value;
}

double guesses_speedup(const Compute& c) {
  return serving::speedup(*c.acceptance, static_cast<int>(*c.guesses), *c.cost);
}
double tokens_per_step(const Compute& c) {
  return serving::expected_tokens(*c.acceptance, static_cast<int>(*c.guesses));
}

/// Requests that find a prefix already computed: those after the first wave.
double saved_prefills(const Compute& c) { return requests(c) - *c.first_wave; }
double prefix_tokens(const Compute& c) {
  const auto n = static_cast<std::int64_t>(*c.context);
  return static_cast<double>(
      serving::prefix_hit_tokens(n, n + 1, static_cast<std::int64_t>(c.block.value_or(16))));
}

constexpr std::array kComputations{
    Computation{"published", Kind::count, "value source", "", "the figure in the named source",
                [](const Compute& c) { return c.value->value; }},
    Computation{"ratio", Kind::factor, "value to", "source", "value / to",
                [](const Compute& c) { return c.value->value / c.to->value; }},
    Computation{"gain", Kind::share, "value to", "source", "value / to - 1",
                [](const Compute& c) { return c.value->value / c.to->value - 1; }},
    Computation{"per_gpu", Kind::token_rate, "value gpus", "source", "value / gpus",
                [](const Compute& c) { return c.value->value / *c.gpus; }},
    // memory
    Computation{"weight_bytes", Kind::bytes, "model", "dtype", "all parameters, each in its format",
                [](const Compute& c) { return weight_bytes(llm(c)).value; }},
    Computation{"weight_bytes_per_gpu", Kind::bytes, "model gpus", "dtype",
                "what tensor parallelism leaves on one GPU",
                [](const Compute& c) {
                  return weight_bytes_per_gpu(load_llm(c.model).shape, policy(c)).value;
                }},
    Computation{"kv_bytes", Kind::bytes, "model context", "requests kv_dtype",
                "requests · context · elements per token", kv},
    Computation{"kv_bytes_of_shape", Kind::bytes, "layers h_kv d context", "requests kv_dtype",
                "requests · context · layers · h_kv · 2d",
                [](const Compute& c) {
                  return requests(c) * *c.context * *c.layers *
                         kv_bytes_per_token(heads(c), kv_format(c)).value;
                }},
    Computation{"kv_bytes_per_layer_head", Kind::bytes, "model context", "kv_dtype",
                "context · 2d of one layer and K/V head",
                [](const Compute& c) {
                  const LlmShape s = llm(c);
                  return kv(c) / s.n_layers() / grouped(s).h_kv;
                }},
    Computation{"kv_bytes_per_layer", Kind::bytes, "model context", "kv_dtype",
                "context · h_kv · 2d of one layer",
                [](const Compute& c) { return kv(c) / llm(c).n_layers(); }},
    Computation{
        "kv_bytes_per_gpu", Kind::bytes, "model context gpus", "requests kv_dtype",
        "the cache one tensor-parallel rank holds",
        [](const Compute& c) {
          return requests(c) *
                 kv_bytes(rank_shape(llm(c), policy(c).parallel), kv_format(c), *c.context).value;
        }},
    Computation{"kv_share", Kind::share, "model context", "requests kv_dtype dtype",
                "cache / (cache + weights read)",
                [](const Compute& c) { return kv(c) / step_bytes(c); }},
    Computation{"memory_left", Kind::bytes, "model memory gpus", "utilisation dtype",
                "utilisation · memory - weights, one GPU",
                [](const Compute& c) { return pool(c) / gpus(c); }},
    Computation{"max_requests", Kind::count, "model memory gpus context",
                "utilisation kv_dtype dtype",
                "floor((utilisation · memory - weights) / cache of one request)",
                [](const Compute& c) { return std::floor(pool(c) / kv(c)); }},
    Computation{"fits", Kind::truth, "model hardware",
                "gpus context requests dtype kv_dtype utilisation",
                "weights, activations, graphs and cache within the engine's share", fits},
    Computation{"within_positions", Kind::truth, "model context", "", "context <= max_positions",
                [](const Compute& c) { return *c.context <= llm(c).max_positions ? 1.0 : 0.0; }},
    Computation{"kv_heads_per_gpu", Kind::count, "model gpus", "", "h_kv / gpus, at least one",
                [](const Compute& c) {
                  return static_cast<double>(grouped(rank_shape(llm(c), policy(c).parallel)).h_kv);
                }},
    Computation{"group_size", Kind::factor, "h_q h_kv", "", "h_q / h_kv: cache of MHA over GQA",
                [](const Compute& c) {
                  return kv_elements_per_token(GroupedAttention{
                             .h_kv = static_cast<int>(*c.h_q), .d_qk = 128, .d_v = 128}) /
                         kv_elements_per_token(GroupedAttention{
                             .h_kv = static_cast<int>(*c.h_kv), .d_qk = 128, .d_v = 128});
                }},
    Computation{"group_size_of_model", Kind::factor, "model", "", "h_q / h_kv",
                [](const Compute& c) {
                  const GroupedAttention a = grouped(llm(c));
                  return static_cast<double>(a.h_q) / a.h_kv;
                }},
    Computation{
        "cache_ratio", Kind::factor, "model h_kv d", "",
        "h_kv · 2d / elements the network caches per layer and token",
        [](const Compute& c) { return kv_elements_per_token(heads(c)).value / layer_cache(c); }},
    Computation{
        "dtype_ratio", Kind::factor, "dtype to_dtype", "", "bytes per element, scales in",
        [](const Compute& c) { return element_size(*c.dtype) / element_size(*c.to_dtype); }},
    Computation{
        "score_matrix", Kind::bytes, "context h_q dtype", "", "h_q · context² elements",
        [](const Compute& c) {
          return (Elements{*c.h_q * *c.context * *c.context} * element_size(*c.dtype)).value;
        }},
    Computation{"waste", Kind::share, "value", "source", "1 - useful share",
                [](const Compute& c) { return 1 - c.value->value; }},
    // time
    Computation{"read_time", Kind::seconds, "value hardware", "gpus", "bytes / HBM bandwidth",
                [](const Compute& c) {
                  return c.value->value / (gpus(c) * machine(c.hardware).hbm.peak.value);
                }},
    Computation{
        "kv_read_time", Kind::seconds, "model context hardware", "requests gpus kv_dtype",
        "cache / HBM bandwidth",
        [](const Compute& c) { return kv(c) / (gpus(c) * machine(c.hardware).hbm.peak.value); }},
    Computation{"step_time", Kind::seconds, "model hardware",
                "context requests gpus dtype kv_dtype", "(weights read + cache) / HBM bandwidth",
                step_time},
    Computation{"token_rate", Kind::token_rate, "model hardware",
                "context requests gpus dtype kv_dtype", "requests / step_time",
                [](const Compute& c) { return requests(c) / step_time(c); }},
    Computation{"rate_of_read", Kind::token_rate, "value hardware", "requests gpus",
                "requests · HBM bandwidth / bytes",
                [](const Compute& c) {
                  return requests(c) * gpus(c) * machine(c.hardware).hbm.peak.value /
                         c.value->value;
                }},
    Computation{"prefill_time", Kind::seconds, "model context hardware dtype", "gpus requests",
                "(2·P·n + causal attention) / dense peak",
                [](const Compute& c) {
                  return requests(c) * prefill_flops(c) / (gpus(c) * peak(c).value);
                }},
    // hardware
    Computation{"peak", Kind::throughput, "hardware dtype", "", "dense datasheet peak",
                [](const Compute& c) { return peak(c).value; }},
    Computation{"bandwidth", Kind::bandwidth, "hardware", "", "HBM datasheet peak",
                [](const Compute& c) { return machine(c.hardware).hbm.peak.value; }},
    Computation{"ridge", Kind::intensity, "hardware dtype", "", "dense peak / HBM bandwidth",
                [](const Compute& c) { return (peak(c) / machine(c.hardware).hbm.peak).value; }},
    Computation{"bandwidth_gain", Kind::share, "hardware over", "",
                "HBM bandwidth over the other's",
                [](const Compute& c) {
                  return machine(c.hardware).hbm.peak / machine(c.over).hbm.peak - 1;
                }},
    Computation{"share_of_peak", Kind::share, "value hardware dtype", "source", "rate / dense peak",
                [](const Compute& c) { return c.value->value / peak(c).value; }},
    Computation{"smem_bandwidth", Kind::bandwidth, "hardware", "", "SMs · bytes per clock · clock",
                [](const Compute& c) { return machine(c.hardware).smem.value; }},
    Computation{"smem_over_hbm", Kind::factor, "hardware", "", "shared-memory over HBM bandwidth",
                [](const Compute& c) {
                  const Machine m = machine(c.hardware);
                  return m.smem / m.hbm.peak;
                }},
    Computation{"link_one_way", Kind::bandwidth, "hardware", "", "NVLink, one direction",
                [](const Compute& c) { return machine(c.hardware).nvlink.bandwidth.value; }},
    // attention
    Computation{"attention_bytes", Kind::bytes, "kernel", "hardware", "HBM read + written",
                [](const Compute& c) { return work(c, *c.kernel).hbm().value; }},
    Computation{"attention_intensity", Kind::intensity, "kernel", "hardware", "flops / HBM bytes",
                [](const Compute& c) { return work(c, *c.kernel).intensity().value; }},
    Computation{"attention_tile_bytes", Kind::bytes, "kernel", "hardware",
                "what the tiles load, L2 hits included, and what is written", tile_bytes},
    Computation{"attention_tile_intensity", Kind::intensity, "kernel", "hardware",
                "flops / attention_tile_bytes",
                [](const Compute& c) { return work(c, *c.kernel).flops.value / tile_bytes(c); }},
    Computation{"score_passes", Kind::bytes, "kernel", "hardware",
                "HBM bytes without Q, K, V and O: the passes over the scores",
                [](const Compute& c) {
                  const AttentionShape& x = c.kernel->shape;
                  const Elements q_o{x.b * x.h_q * x.s_q * (x.d_qk + x.d_v)};
                  const Elements k_v{x.b * x.h_kv * x.s_kv * (x.d_qk + x.d_v)};
                  const attention::Formats f = c.kernel->formats();
                  return (work(c, *c.kernel).hbm() - q_o * f.act_size() - k_v * f.kv_size()).value;
                }},
    Computation{"attention_training_bytes", Kind::bytes, "kernel", "hardware",
                "HBM bytes of forward and backward",
                [](const Compute& c) { return both_ways(c, *c.kernel); }},
    Computation{
        "attention_training_ratio", Kind::factor, "kernel to_kernel", "hardware",
        "HBM bytes of forward and backward, one kernel over the other",
        [](const Compute& c) { return both_ways(c, *c.kernel) / both_ways(c, *c.to_kernel); }},
    Computation{"attention_compute_time", Kind::seconds, "kernel hardware dtype", "",
                "flops / peak",
                [](const Compute& c) { return (work(c, *c.kernel).flops / peak(c)).value; }},
    Computation{"attention_memory_time", Kind::seconds, "kernel hardware", "",
                "HBM bytes / bandwidth",
                [](const Compute& c) {
                  return (work(c, *c.kernel).hbm() / machine(c.hardware).hbm.peak).value;
                }},
    // serving
    Computation{"speculative_tokens", Kind::count, "acceptance guesses", "",
                "(1 - a^(g+1)) / (1 - a)", tokens_per_step},
    Computation{"speculative_speedup", Kind::factor, "acceptance guesses cost", "",
                "tokens / (g · cost + 1), cost of each draft token", guesses_speedup},
    Computation{"speculative_speedup_of_phase", Kind::factor, "acceptance guesses cost", "",
                "tokens / (cost + 1), cost of the whole draft phase",
                [](const Compute& c) { return tokens_per_step(c) / (1 + *c.cost); }},
    Computation{"refill_gain", Kind::factor, "batch", "", "1 / U_B, exponential output lengths",
                [](const Compute& c) {
                  return serving::refill_gain(
                      serving::static_utilisation_exponential(static_cast<int>(*c.batch)));
                }},
    Computation{"refill_gain_of_utilisation", Kind::factor, "utilisation", "source", "1 / U_B",
                [](const Compute& c) { return serving::refill_gain(*c.utilisation); }},
    Computation{"paged_waste_share", Kind::share, "block context", "source",
                "(b - 1)/2 tokens of a sequence that holds `context`",
                [](const Compute& c) {
                  const double lost = serving::paged_waste(static_cast<std::int64_t>(*c.block));
                  return lost / (lost + *c.context);
                }},
    Computation{"saved_prefills", Kind::count, "requests first_wave", "", "requests - first wave",
                saved_prefills},
    Computation{"saved_tokens", Kind::count, "requests first_wave context", "block",
                "prefills saved · whole cached blocks",
                [](const Compute& c) { return saved_prefills(c) * prefix_tokens(c); }},
    Computation{"saved_flops", Kind::flops, "model requests first_wave context", "block",
                "prefills saved · (2·P·h + 2·L·h_q·d·h²)",
                [](const Compute& c) { return saved_prefills(c) * prefill_flops(c); }},
    Computation{"expert_reads", Kind::share, "model batch", "",
                "share of the routed experts that `batch` tokens touch",
                [](const Compute& c) {
                  const LlmShape shape = llm(c);
                  const auto* moe = std::get_if<MoeMlp>(&shape.layers.back().mlp);
                  if (!moe) throw UserError("model " + shape.id + " has no experts");
                  return experts_touched(moe->num_experts, moe->top_k, *c.batch) / moe->num_experts;
                }},
};

}  // namespace

std::span<const Computation> computations() { return kComputations; }

const Computation* find_computation(std::string_view name) {
  for (const Computation& q : kComputations)
    if (q.name == name) return &q;
  return nullptr;
}

bool lists(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const std::size_t end = words.find(' ');
    if (words.substr(0, end) == word) return true;
    words = end == words.npos ? "" : words.substr(end + 1);
  }
  return false;
}

}  // namespace kvroof::claims
