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
     Seconds{0}, kSource},
    {"sglang",
     MemoryRule::static_share,
     0.88,
     1,
     256,
     8192,
     Bytes{0.5e9},
     Bytes{0.3e9},
     Seconds{1e-3},
     Seconds{0},
     kSource,
     {},
     {},
     {},
     true},
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

Machine with_kernels_of(const EngineTraits& engine, Machine m) {
  const auto share = [](double of_gpu, double factor) { return std::min(1.0, of_gpu * factor); };
  for (std::size_t i = 0; i < m.fit.size(); ++i) {
    const KernelFactors& k = engine.kernels[i];
    m.fit[i].compute = share(m.fit[i].compute, k.compute);
    m.fit[i].memory = share(m.fit[i].memory, k.memory);
    m.fit[i].ramp *= k.ramp;
    m.fit[i].tail = share(m.fit[i].tail, k.tail);
  }
  const auto combine = [](auto& of_gpu, const auto& of_engine) {
    for (std::size_t i = 0; i < of_gpu.size(); ++i) {
      of_gpu[i].compute *= of_engine[i].compute;
      of_gpu[i].memory *= of_engine[i].memory;
      of_gpu[i].convert += of_engine[i].convert;
    }
  };
  combine(m.format, engine.formats);
  combine(m.moe_format, engine.moe_formats);
  const KernelFactors& k = engine.kernels[static_cast<std::size_t>(OpClass::collective)];
  for (Link* link : {&m.nvlink, &m.pcie, &m.nic}) {
    link->efficiency = share(link->efficiency, k.memory);
    link->latency *= k.ramp, link->base *= k.ramp;
  }
  return m;
}

}  // namespace kvroof
