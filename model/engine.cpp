#include "model/engine.hpp"

#include <algorithm>
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
     Seconds{10e-6}, kSource},
    {.name = "sglang",
     .rule = MemoryRule::static_share,
     .memory_fraction = 0.88,
     .block_size = 1,
     .max_num_seqs = 256,
     .max_num_batched_tokens = 8192,
     .context = Bytes{0.5e9},
     .graphs = Bytes{0.3e9},
     .step_base = Seconds{1e-3},
     .step_per_request = Seconds{10e-6},
     .source = kSource,
     .prefill_alone = true},
    {"trtllm", MemoryRule::free_after_weights, 0.90, 32, 2048, 8192, Bytes{0.5e9}, Bytes{0.3e9},
     Seconds{1e-3}, Seconds{10e-6}, kSource},
}};

}  // namespace

std::span<const EngineTraits> engines() { return kEngines; }

const EngineTraits* find_engine(std::string_view name) {
  for (const EngineTraits& e : kEngines)
    if (e.name == name) return &e;
  return nullptr;
}

Machine with_kernels_of(const EngineTraits& engine, Machine m) {
  const auto share = [](double of_gpu, double factor) { return std::min(1.0, of_gpu * factor); };
  for (std::size_t i = 0; i < m.fit.size(); ++i) {
    const KernelFactors& k = engine.kernels[i];
    m.fit[i].compute = share(m.fit[i].compute, k.compute);
    m.fit[i].memory = share(m.fit[i].memory, k.memory);
    m.fit[i].ramp *= k.ramp;
  }
  for (std::size_t i = 0; i < m.format.size(); ++i) {
    m.format[i].compute *= engine.formats[i].compute;
    m.format[i].memory *= engine.formats[i].memory;
  }
  const KernelFactors& k = engine.kernels[static_cast<std::size_t>(OpClass::collective)];
  for (Link* link : {&m.nvlink, &m.pcie, &m.nic}) {
    link->efficiency = share(link->efficiency, k.memory);
    link->latency *= k.ramp, link->base *= k.ramp;
  }
  return m;
}

}  // namespace kvroof
