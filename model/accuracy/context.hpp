// From the names a file uses to what a prediction needs; each GPU and network is loaded once.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "model/accuracy/measurement.hpp"
#include "model/predict.hpp"

namespace kvroof::accuracy {

class Context {
 public:
  /// `kernels` false leaves GPUs as their profiles say and engines without fitted constants.
  explicit Context(bool kernels = true) : kernels_(kernels) {}

  /// nullptr without a profile for the GPU, or without a config for the network. Names as in files.
  const Machine* machine(const std::string& hardware);
  const LlmShape* llm(const std::string& name);

  /// Ids for groups: "NVIDIA H100 80GB HBM3" -> h100-sxm-80gb; the file's spelling where unknown.
  std::string hardware_name(const std::string& hardware);
  std::string llm_name(const std::string& name);

  /// Everything but the load: network, GPU, engine, formats, parallelism of `pool`. The reason
  /// where one of them is unknown, the network cannot be cut that way, or the GPU lacks a unit.
  std::variant<Setup, std::string> setup(const Measurement& m, const Pool& pool);
  std::variant<Setup, std::string> setup(const Measurement& m) { return setup(m, m.pool); }

 private:
  bool kernels_;
  std::map<std::string, EngineTraits> engines_;
  std::map<std::string, std::optional<Machine>> machines_;
  std::map<std::string, std::optional<LlmShape>> llms_;
};

/// "FP8", "fp8_block", "nvfp4", "w4a16_awq", "float16" … ; nullopt: not a format we know.
std::optional<Dtype> format_of(std::string_view text);

/// "vLLM 0.11.0", "TensorRT-LLM", "trt", "sglang" -> our engine names; "generic" for any other.
std::string engine_of(std::string_view text);

}  // namespace kvroof::accuracy
