#include "model/engine_flags.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/quantity.hpp"
#include "model/scenario.hpp"
#include "model/scenario_fields.hpp"
#include "model/units.hpp"

namespace kvroof {
namespace {

/// A degree is a number although the field it sets is a switch: --ep-size 8.
bool is_degree(std::string_view flag) { return flag.ends_with("size") || flag == "--ep"; }

class FlagVisitor {
 public:
  FlagVisitor(std::string prefix, std::string_view Field::*engine, Flags& out)
      : prefix_(std::move(prefix)), engine_(engine), out_(out) {}
  template <class M>
  void operator()(std::string_view key, M&, const Field& f) {
    const std::string path = join_path(prefix_, key);
    std::string_view rest = f.*engine_;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      std::string_view name = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      const bool negated = name.front() == '!';
      if (negated) name.remove_prefix(1);
      const std::string flag = canonical_flag(name);
      out_[flag] = {path, std::same_as<M, bool> && !is_degree(flag), negated};
    }
    descend<M>(path);
  }

 private:
  template <class M>
  void descend(const std::string& path) {
    if constexpr (is_optional<M>) {
      descend<typename M::value_type>(path);
    } else if constexpr (HasFields<M>) {
      M value{};
      FlagVisitor inner(path, engine_, out_);
      fields(inner, value);
    }
  }
  std::string prefix_;
  std::string_view Field::*engine_;
  Flags& out_;
};

/// vLLM's lengths may be written 8k = 8000, 8K = 8192, 25.6k; -1 and auto mean the model's own.
std::string length_value(const std::string& value) {
  if (value == "-1") return "auto";
  if (value.size() < 2) return value;
  constexpr std::string_view kSuffixes = "kKmMgG";
  constexpr double kScales[] = {kilo, kibi, mega, mebi, giga, gibi};
  const std::size_t which = kSuffixes.find(value.back());
  const auto number = parse_number(std::string_view(value).substr(0, value.size() - 1));
  if (which == std::string_view::npos || !number) return value;
  return fmt::format("{:.0f}", std::floor(*number * kScales[which]));
}

/// Methods whose format the checkpoint states itself are left to it.
std::string quantization_value(const std::string& method) {
  for (const auto& [engine, ours] : {std::pair{"awq", "int4_g128"},
                                     {"awq_marlin", "int4_g128"},
                                     {"gptq", "int4_g128"},
                                     {"gptq_marlin", "int4_g128"},
                                     {"compressed-tensors", "auto"},
                                     {"modelopt", "auto"},
                                     {"modelopt_fp8", "fp8"},
                                     {"modelopt_fp4", "nvfp4"},
                                     {"w8a8_int8", "int8"},
                                     {"w8a8_fp8", "fp8"},
                                     {"fbgemm_fp8", "fp8"},
                                     {"None", "auto"}})
    if (method == engine) return ours;
  return method;
}

}  // namespace

std::string canonical_flag(std::string_view flag) {
  std::string out(flag);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

Flags flags_of(std::string_view engine) {
  Flags flags;
  Scenario s;
  FlagVisitor visitor("",
                      engine == "vllm"     ? &Field::vllm
                      : engine == "sglang" ? &Field::sglang
                                           : &Field::trtllm,
                      flags);
  fields(visitor, s);
  return flags;
}
std::string draft_method(std::string method) {
  std::transform(method.begin(), method.end(), method.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (method.starts_with("eagle")) return "eagle";
  if (method == "nextn" || method.ends_with("mtp")) return "mtp";
  if (method == "standalone") return "draft_model";
  return method;
}

std::string engine_value(std::string_view path, const std::string& value) {
  if (path == "serving.max_model_len" || path == "serving.max_num_batched_tokens")
    return length_value(value);
  if (path == "serving.quantization") return quantization_value(value);
  if (path == "speculative.method") return draft_method(value);
  return value;
}

}  // namespace kvroof
