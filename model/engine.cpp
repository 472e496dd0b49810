#include "model/engine.hpp"

#include <array>

namespace kvroof {
namespace {

// Defaults: vLLM main (0.92 of total, block 16, 256 sequences; 8192 batched tokens on data-centre
// GPUs), SGLang (0.88 static, page 1), TensorRT-LLM (0.9 of free, 32 tokens a block). Memory beside
// weights, KV and activations: a public vLLM run on a 24 GiB card (Llama-3.1-8B, 41,408 KV tokens,
// utilisation 0.9) leaves 1.24 GB for context, graphs and 2048-token activations; 0.8 of it is
// split here. Step times: least error of a five-constant fit on public Llama rows was 1 ms a step.
constexpr std::string_view kSource =
    "assumed: 1.24 GB left over in a public vLLM run; 1 ms a step from a fit on public Llama rows";
constexpr std::array<EngineTraits, 3> kEngines{{
    {"vllm", MemoryRule::total, 0.92, 16, 256, 8192, Bytes{0.5e9}, Bytes{0.3e9}, Seconds{1e-3},
     Seconds{0}, kSource},
    {"sglang", MemoryRule::static_share, 0.88, 1, 256, 8192, Bytes{0.5e9}, Bytes{0.3e9},
     Seconds{1e-3}, Seconds{0}, kSource},
    {"trtllm", MemoryRule::free_after_weights, 0.90, 32, 2048, 8192, Bytes{0.5e9}, Bytes{0.3e9},
     Seconds{1e-3}, Seconds{0}, kSource},
}};

}  // namespace

std::span<const EngineTraits> engines() { return kEngines; }

const EngineTraits* find_engine(std::string_view name) {
  for (const EngineTraits& e : kEngines)
    if (e.name == name) return &e;
  return nullptr;
}

}  // namespace kvroof
