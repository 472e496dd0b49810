#include "model/engine_fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "model/csv.hpp"
#include "model/user_error.hpp"
#include "model/yaml.hpp"

namespace kvroof {
namespace {

constexpr double kStepBase = 1e-3, kStepPerRequest = 10e-6, kConvert = 3e-6, kTail = 0.5;
// Shares that narrow products reach of what BF16 products do: operator tables of TensorRT-LLM in
// ai-dynamo/aiconfigurator (Apache-2.0), FP8 per tensor 0.60 of peak against 0.80, in blocks 0.45,
// NVFP4 0.40 against 0.65 and 0.60 of HBM against 0.70.
constexpr double kFp8Compute = 0.75, kBlockFp8Compute = 0.56, kFp4Compute = 0.6, kFp4Memory = 0.85;

constexpr std::array<EngineConstant, kNumEngineConstants> kConstants{{
    {"step_base", "1 ms", 3},
    {"step_per_request", "10 us", 3},
    {"gemm.memory", "the GPU's"},
    {"gemm.compute", "the GPU's"},
    {"gemm.ramp", "the GPU's"},
    {"gemm.tail", "0.5"},
    {"gemm.fp8.compute", "0.75 of BF16"},
    {"gemm.fp8.memory", "BF16"},
    {"gemm.fp8.convert", "3 us", 3},
    {"gemm.fp4.compute", "0.6 of BF16"},
    {"gemm.fp4.memory", "0.85 of BF16"},
    {"gemm.fp4.convert", "3 us", 3},
    {"moe_gemm.memory", "the GPU's"},
    {"moe_gemm.compute", "the GPU's"},
    {"moe_gemm.ramp", "the GPU's", 2},
    {"moe_gemm.fp8.compute", "0.56 of BF16"},
    {"moe_gemm.fp8.memory", "BF16"},
    {"moe_gemm.fp4.compute", "0.6 of BF16"},
    {"moe_gemm.fp4.memory", "0.85 of BF16"},
    {"moe_gemm.convert", "3 us", 3},
    {"decode_attention.memory", "the GPU's"},
    {"decode_attention.compute", "the GPU's"},
    {"decode_attention.ramp", "the GPU's"},
    {"prefill_attention.compute", "the GPU's"},
    {"elementwise.ramp", "the GPU's"},
    {"collective.bandwidth", "the GPU's", 2},
    {"collective.latency", "the GPU's", 2},
}};

KernelFactors& kernel(EngineTraits& t, OpClass c) { return t.kernels[static_cast<std::size_t>(c)]; }
FormatFit& of(std::array<FormatFit, kNumMathTypes>& formats, MathType m) {
  return formats[static_cast<std::size_t>(m)];
}

double number_of(const Node* n, const std::string& path, Errors& errors, const Mark& at) {
  const auto value = n && n->is_scalar() ? to_number(n->text) : std::nullopt;
  if (!value) {
    errors.add(n ? n->mark : at, path,
               "expected a finite number, got " + (n ? described(*n) : "nothing"));
    return 0;
  }
  return *value;
}

}  // namespace

std::span<const EngineConstant, kNumEngineConstants> engine_constants() { return kConstants; }

EngineTraits with_constants(EngineTraits t, std::span<const double, kNumEngineConstants> x) {
  std::size_t next = 0;
  const auto factor = [&] { return std::exp(x[next++]); };  // in the order of kConstants
  const auto shares = [&](FormatFit& f, double compute, double memory) {
    f.compute = compute * factor(), f.memory = memory * factor();
  };
  const auto time = [&](double seconds) { return Seconds{seconds * factor()}; };

  t.step_base = time(kStepBase), t.step_per_request = time(kStepPerRequest);
  KernelFactors& gemm = kernel(t, OpClass::gemm);
  gemm.memory = factor(), gemm.compute = factor(), gemm.ramp = factor();
  gemm.tail = std::min(1.0, kTail * factor());
  FormatFit& fp8 = of(t.formats, MathType::fp8);
  shares(fp8, kFp8Compute, 1), fp8.convert = time(kConvert);
  FormatFit& fp4 = of(t.formats, MathType::fp4);
  shares(fp4, kFp4Compute, kFp4Memory), fp4.convert = time(kConvert);

  KernelFactors& experts = kernel(t, OpClass::moe_gemm);
  experts.memory = factor(), experts.compute = factor(), experts.ramp = factor();
  FormatFit& experts8 = of(t.moe_formats, MathType::fp8);
  FormatFit& experts4 = of(t.moe_formats, MathType::fp4);
  shares(experts8, kBlockFp8Compute, 1), shares(experts4, kFp4Compute, kFp4Memory);
  experts8.convert = experts4.convert = time(kConvert);

  KernelFactors& decode = kernel(t, OpClass::decode_attention);
  decode.memory = factor(), decode.compute = factor(), decode.ramp = factor();
  kernel(t, OpClass::prefill_attention).compute = factor();
  kernel(t, OpClass::elementwise).ramp = factor();
  KernelFactors& link = kernel(t, OpClass::collective);
  link.memory = factor(), link.ramp = factor();
  return t;
}

std::string print_engine_fit(const EngineFit& f) {
  std::string out = fmt::format(
      "schema: kvroof/engine/v1\nengine: {}\nsource: {}\nrows: {}\nresidual: {:.4f}\n"
      "# factor: on `of`; standard_error: of the factor's logarithm\nconstants:\n",
      f.engine, json_quote(f.source), f.rows, f.residual);
  for (std::size_t i = 0; i < kNumEngineConstants; ++i)
    out += fmt::format("  {}: {{factor: {:.5g}, standard_error: {:.3f}, of: \"{}\"}}\n",
                       kConstants[i].name, std::exp(f.log_factor[i]), f.standard_error[i],
                       kConstants[i].of);
  return out;
}

EngineFit read_engine_fit(const std::string& path) {
  const Node root = load_yaml(path);
  Errors errors;
  EngineFit f;
  const auto text = [&](std::string_view key) {
    const Node* n = root.find(key);
    if (!n || !n->is_scalar()) {
      errors.add(n ? n->mark : root.mark, key, "expected a text");
      return std::string();
    }
    return n->text;
  };
  if (text("schema") != "kvroof/engine/v1")
    errors.add(root.mark, "schema", "expected kvroof/engine/v1");
  f.engine = text("engine"), f.source = text("source");
  f.rows = static_cast<int>(number_of(root.find("rows"), "rows", errors, root.mark));
  f.residual = number_of(root.find("residual"), "residual", errors, root.mark);
  const Node* constants = root.find("constants");
  for (std::size_t i = 0; i < kNumEngineConstants; ++i) {
    const std::string where = "constants." + std::string(kConstants[i].name);
    const Node* c = constants ? constants->find(kConstants[i].name) : nullptr;
    const Mark& at = c ? c->mark : root.mark;
    const double factor = number_of(c ? c->find("factor") : nullptr, where + ".factor", errors, at);
    if (factor <= 0) errors.add(at, where + ".factor", "expected a factor above zero");
    else f.log_factor[i] = std::log(factor);
    f.standard_error[i] =
        number_of(c ? c->find("standard_error") : nullptr, where + ".standard_error", errors, at);
  }
  if (constants)
    for (const Node::Key& key : constants->keys)
      if (std::none_of(kConstants.begin(), kConstants.end(),
                       [&](const EngineConstant& c) { return c.name == key.name; }))
        errors.add(key.mark, "constants." + key.name, "unknown constant");
  errors.throw_if_any();
  return f;
}

EngineTraits load_engine(std::string_view name, std::string_view architecture,
                         const std::vector<std::string>& roots) {
  const EngineTraits* known = find_engine(name);
  const EngineTraits traits = known ? *known : *find_engine("vllm");
  const std::string id = known ? std::string(name) : "generic";
  for (const std::string& stem : {id + "-" + std::string(architecture), id})
    for (const std::string& root : roots) {
      const auto file = std::filesystem::path(root) / "hw_profiles" / "engines" / (stem + ".yaml");
      std::error_code ignored;
      if (std::filesystem::is_regular_file(file, ignored))
        return with_constants(traits, read_engine_fit(file.string()).log_factor);
    }
  return traits;
}

}  // namespace kvroof
