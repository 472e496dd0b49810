// How an LLM is served: formats, parallelism, kernels, memory rules. Filled from the `serving`
// block of a scenario; names follow vLLM's flags.
#pragma once
#include <optional>
#include <string>

#include "model/dtype.hpp"

namespace kvroof {

struct Parallelism {
  int tensor = 1, pipeline = 1, data = 1;
  bool expert = false;  // experts spread over tensor * data ranks instead of being cut by tensor
  constexpr int gpus() const { return tensor * pipeline * data; }
  bool operator==(const Parallelism&) const = default;
};

struct Policy {
  std::string engine = "vllm";
  Parallelism parallel;
  std::optional<Dtype> weights;  // nullopt: as the checkpoint; quantises linear layers only
  Dtype activations = Dtype::bf16;
  std::optional<Dtype> kv;  // nullopt: the activations' format
  int block_size = 16;
  int max_num_seqs = 256;
  int max_num_batched_tokens = 8192;
  int max_model_len = 0;                 // 0: the LLM's own limit
  double gpu_memory_utilization = 0.92;  // vLLM: of the total memory
  // The other engines' memory shares are different quantities and are never converted:
  std::optional<double> mem_fraction_static;  // SGLang: weights + K/V pool, of the total
  std::optional<double>
      kv_cache_free_gpu_memory_fraction;  // TensorRT-LLM: of what is free after weights
  bool cuda_graphs = true;
  bool fused_elementwise = true;  // norm + residual, RoPE + cache append, SwiGLU as one kernel each
  bool overlap_communication = false;
  std::string prefill_attention = "auto";  // a variant of model/attention; auto: by architecture
  std::string decode_attention = "auto";

  Dtype kv_dtype() const { return kv.value_or(activations); }
  bool operator==(const Policy&) const = default;
};

}  // namespace kvroof
