#include "model/accuracy/context.hpp"

#include <algorithm>
#include <cctype>

#include "model/engine_fit.hpp"
#include "model/profile.hpp"
#include "model/public_names.hpp"
#include "model/search_path.hpp"
#include "model/shard.hpp"
#include "model/user_error.hpp"

namespace kvroof::accuracy {
namespace {

EngineTraits plain_engine(const std::string& name) {
  const EngineTraits* known = find_engine(name);
  return known ? *known : *find_engine("vllm");
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool contains(std::string_view text, std::string_view word) {
  return text.find(word) != std::string_view::npos;
}

/// NVFP4 checkpoints of DeepSeek and Qwen3.5 keep attention in BF16; the networks that came in
/// MXFP4 stay so.
void set_weights(Setup& s, Dtype asked) {
  const bool unusual = std::any_of(s.llm.layers.begin(), s.llm.layers.end(), [](const auto& g) {
    return !std::holds_alternative<GroupedAttention>(g.attention);
  });
  const bool four_bits = info(asked).bits == 4;
  if (four_bits && s.llm.weights == Dtype::mxfp4) return;
  if (asked == Dtype::fp8 && s.llm.weights == Dtype::mxfp4) return;
  if (asked == Dtype::fp8 && s.llm.weights == Dtype::fp8_block128) asked = Dtype::fp8_block128;
  if (four_bits && unusual) {
    s.llm.weights = asked;
    s.llm.attention_weights = Dtype::bf16;
    return;
  }
  s.policy.weights = asked;
}

}  // namespace

std::optional<Dtype> format_of(std::string_view text) {
  const std::string t = lower_case(text);
  if (t.empty()) return std::nullopt;
  if (contains(t, "nvfp4") || t == "fp4") return Dtype::nvfp4;
  if (contains(t, "mxfp4")) return Dtype::mxfp4;
  if (contains(t, "fp8_block") || contains(t, "fp8 block")) return Dtype::fp8_block128;
  if (contains(t, "fp8")) return Dtype::fp8;
  if (contains(t, "int4") || contains(t, "w4a16") || contains(t, "awq") || contains(t, "gptq"))
    return Dtype::int4_g128;
  if (contains(t, "int8") || contains(t, "w8a8")) return Dtype::int8;
  if (contains(t, "bf16") || contains(t, "bfloat16")) return Dtype::bf16;
  if (contains(t, "fp16") || contains(t, "float16") || t == "mixed") return Dtype::fp16;
  return std::nullopt;
}

std::string engine_of(std::string_view text) {
  const std::string t = lower_case(text);
  if (contains(t, "sglang")) return "sglang";
  if (contains(t, "tensorrt") || contains(t, "trt")) return "trtllm";
  if (contains(t, "vllm")) return "vllm";
  return "generic";
}

const Machine* Context::machine(const std::string& hardware) {
  auto it = machines_.find(hardware);
  if (it == machines_.end()) {
    std::optional<Machine> m;
    const std::string id = hardware_id(hardware);
    if (!id.empty()) try {
        m = to_machine(load_profile(find_profile(id, search_roots())));
      } catch (const UserError&) {
      }
    it = machines_.emplace(hardware, std::move(m)).first;
  }
  return it->second ? &*it->second : nullptr;
}

const LlmShape* Context::llm(const std::string& name) {
  auto it = llms_.find(name);
  if (it == llms_.end()) {
    std::optional<LlmShape> shape;
    for (const std::string& id : llm_candidates(name)) try {
        shape = load_llm(id).shape;
        break;
      } catch (const UserError&) {
      }
    it = llms_.emplace(name, std::move(shape)).first;
  }
  return it->second ? &*it->second : nullptr;
}

std::string Context::hardware_name(const std::string& hardware) {
  const std::string id = hardware_id(hardware);
  return id.empty() ? hardware : id;
}

std::string Context::llm_name(const std::string& name) {
  const LlmShape* shape = llm(name);
  return shape && !shape->id.empty() ? shape->id : name.substr(name.rfind('/') + 1);
}

std::variant<Setup, std::string> Context::setup(const Measurement& m, const Pool& pool) {
  const Machine* gpu = machine(m.hardware);
  if (!gpu)
    return "no hardware profile for " + (m.hardware.empty() ? "an unnamed GPU" : m.hardware);
  const LlmShape* shape = llm(m.llm);
  if (!shape) return "no config of " + (m.llm.empty() ? "an unnamed network" : llm_name(m.llm));
  constexpr double kMostTokens = 1 << 24, kMostRequests = 1 << 20;
  if (m.isl + m.osl > kMostTokens || m.concurrency > kMostRequests)
    return "lengths or requests beyond any service";
  std::variant<Setup, std::string> answer(std::in_place_index<0>);
  Setup& s = std::get<0>(answer);
  s.llm = *shape, s.machine = *gpu;
  const std::string name = engine_of(m.engine);
  auto known = engines_.find(name + gpu->architecture);
  if (known == engines_.end())
    known = engines_
                .emplace(name + gpu->architecture,
                         kernels_ ? load_engine(name, gpu->architecture, search_roots())
                                  : plain_engine(name))
                .first;
  s.engine = known->second;
  s.policy.engine = s.engine.name;
  s.policy.block_size = s.engine.block_size;
  s.policy.max_num_seqs = s.engine.max_num_seqs;
  s.policy.max_num_batched_tokens = s.engine.max_num_batched_tokens;
  s.policy.gpu_memory_utilization = s.engine.memory_fraction;
  s.policy.parallel = {
      .tensor = pool.tp, .pipeline = pool.pp, .data = pool.dp, .expert = pool.expert};
  if (m.weights) set_weights(s, *m.weights);
  s.policy.kv = m.kv;
  if (kernels_) s.machine = with_kernels_of(s.engine, s.machine);
  if (const std::string problem = sharding_problem(s.llm, s.policy.parallel); !problem.empty())
    return problem;
  try {
    lower(s.llm, s.policy, s.machine);
  } catch (const std::exception& e) {
    return std::string(e.what());
  }
  return answer;
}

}  // namespace kvroof::accuracy
