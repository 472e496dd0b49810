#include "model/accuracy/past_engines.hpp"

#include <algorithm>

namespace kvroof::accuracy {
namespace {

// All constants here were set by hand on the rows named, one digit each, and not cross-validated.
// Host time of one operator in eager PyTorch. SplitwiseSim: Llama-2-70B and BLOOM-176B at batch 1
// on 8 GPUs take 36 to 50 ms a token whatever the GPU.
constexpr Seconds kEagerOperator{40e-6};
// The same from C++: DeepSpeed-MII at batch 1 in LLM-Inference-Bench.
constexpr Seconds kCompiledOperator{20e-6};
// Host time per sequence and step: LLM-Inference-Bench's vLLM rows at batch 64
// over those at batch 1.
constexpr Seconds kPythonSequence{80e-6};

// Per sequence and step of TensorRT-LLM's executor: bookkeeping and sampling. In-flight batching
// rows v0.11 to v0.15.
constexpr Seconds kExecutorSequence{8e-6};
// FP8: TensorRT-LLM's tables of H100 and B200, products of at least 16 MB of weights. NVFP4:
// between those tables (0.68, 0.65, conversion included) and the B200 rows of MLPerf
// and v0.17 to v1.1.
constexpr FormatFit kFp8{.compute = 0.85}, kFp4{.compute = 0.8, .memory = 0.75};

}  // namespace

Machine with_narrow_formats(Machine m) {
  m.format[static_cast<std::size_t>(MathType::fp8)] = kFp8;
  m.format[static_cast<std::size_t>(MathType::fp4)] = kFp4;
  return m;
}

Setup unfitted(Setup s, const Machine& own) {
  const EngineTraits* plain = find_engine(s.engine.name);
  s.engine = plain ? *plain : *find_engine("vllm");
  s.machine = own;
  return s;
}

Setup executor(Setup s, const Machine& own) {
  const EngineTraits* plain = find_engine("trtllm");
  s.engine = *plain;
  s.engine.step_per_request = kExecutorSequence;
  s.machine = with_narrow_formats(own);
  return s;
}

Setup eager(Setup s) {
  s.policy.cuda_graphs = false;
  s.machine.launch.stream = kEagerOperator;
  return s;
}

Seconds eager_pass_overhead() { return 40 * kEagerOperator; }

Setup ungraphed(Setup s) {
  s.policy.cuda_graphs = false;
  s.machine.launch.stream = kCompiledOperator;
  return s;
}

Setup python_scheduler(Setup s) {
  s.engine.step_per_request = max(s.engine.step_per_request, kPythonSequence);
  return s;
}

Setup early_trtllm(Setup s, double version) {
  if (version > 0.105) return s;  // v0.11
  const bool shared = std::all_of(s.llm.layers.begin(), s.llm.layers.end(), [&](const auto& g) {
    const auto* a = std::get_if<GroupedAttention>(&g.attention);
    return a && version > 0.055 && a->d_qk == 128 && a->h_q == 8 * a->h_kv;
  });
  if (!shared) s.policy.decode_attention = "masked_mha";
  return s;
}

Setup without_windows(Setup s) {
  for (LayerGroup& g : s.llm.layers)
    if (auto* a = std::get_if<GroupedAttention>(&g.attention)) a->window = 0;
  return s;
}

}  // namespace kvroof::accuracy
