// Serving engines: the defaults a user gets, the memory rule, and the host time a step costs.
#pragma once
#include <span>
#include <string_view>

#include "model/units.hpp"

namespace kvroof {

/// What the engine's memory fraction is a fraction of; the three are different quantities.
enum class MemoryRule {
  total,  // vLLM --gpu-memory-utilization: weights + activations + KV inside share · capacity
  static_share,       // SGLang --mem-fraction-static: weights + KV inside share · capacity
  free_after_weights  // TensorRT-LLM kv_cache_free_gpu_memory_fraction: KV = share · what is left
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
};

std::span<const EngineTraits> engines();
const EngineTraits* find_engine(std::string_view name);  // nullptr: unknown

}  // namespace kvroof
