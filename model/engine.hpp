// Serving engines: the defaults a user gets, the memory rule, and the host time a step costs.
#pragma once
#include <array>
#include <span>
#include <string_view>

#include "model/machine.hpp"
#include "model/units.hpp"

namespace kvroof {

/// What the engine's memory fraction is a fraction of; the three are different quantities.
enum class MemoryRule {
  total,  // vLLM --gpu-memory-utilization: weights + activations + KV inside share · capacity
  static_share,       // SGLang --mem-fraction-static: weights + KV inside share · capacity
  free_after_weights  // TensorRT-LLM kv_cache_free_gpu_memory_fraction: KV = share · what is left
};

/// An engine's kernels against those of the tables the GPU profiles were fitted on: factors on the
/// shares of the peaks and on the fixed time of a kernel. Collectives: on the link's efficiency
/// (memory) and on its base and latency (ramp).
struct KernelFactors {
  double compute = 1, memory = 1, ramp = 1, tail = 1;
  bool operator==(const KernelFactors&) const = default;
};

struct EngineTraits {
  std::string_view name;
  MemoryRule rule;
  double memory_fraction;
  int block_size, max_num_seqs, max_num_batched_tokens;
  Bytes context;  // CUDA context, NCCL and allocator slack on each GPU
  Bytes graphs;   // captured CUDA graphs
  Seconds
      step_base;  // host time of a step that the GPU waits for: scheduling, sampling, detokenising
  Seconds step_per_request;
  std::string_view source;  // of context, graphs and step times
  std::array<KernelFactors, kNumOpClasses> kernels{};
  std::array<FormatFit, kNumMathTypes> formats{}, moe_formats{};
  bool prefill_alone = false;  // prompts are computed in steps of their own, decodes wait
  // From the client to the scheduler and back with the first token: once, and per prompt token
  // (tokeniser, transport). Medians left by TTFT of public runs at few requests.
  Seconds request{25e-3}, request_per_token{5e-6};
};

/// The GPU as this engine's kernels use it. Shares of peaks stay at most 1.
Machine with_kernels_of(const EngineTraits& engine, Machine machine);

std::span<const EngineTraits> engines();
const EngineTraits* find_engine(std::string_view name);  // nullptr: unknown

}  // namespace kvroof
