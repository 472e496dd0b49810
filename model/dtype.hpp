// Number formats: how many bytes an element costs in memory, scales included, and which tensor-core
// path multiplies it.
#pragma once
#include <array>
#include <optional>
#include <string_view>

#include "model/units.hpp"

namespace kvroof {

/// Storage format of weights, activations or K/V. Names as engines and checkpoints spell them.
enum class Dtype {
  fp32,
  tf32,
  bf16,
  fp16,
  fp8,             // E4M3, one scale per tensor: 8 bits
  fp8_block128,    // E4M3, one fp32 scale per 128x128 block (DeepSeek weights): + 32/16384 bit
  fp8_per_token,   // E4M3 K/V, one fp32 scale per head and token of 128 values: + 32/128 bit
  int8,            // one scale per channel, negligible: 8 bits
  int8_per_token,  // K/V, one fp32 scale per head and token of 128 values: + 32/128 bit
  int4_g128,       // AWQ/GPTQ group 128: 4 + (16 scale + 4 zero point)/128 bit
  nvfp4,           // E2M1, one E4M3 scale per 16: 4 + 8/16 bit
  mxfp4,           // E2M1, one E8M0 scale per 32: 4 + 8/32 bit
};

/// Tensor-core path: indexes the peaks of a Machine.
enum class MathType { fp32, tf32, bf16, fp16, fp8, int8, fp4 };
inline constexpr int kNumMathTypes = 7;

struct DtypeInfo {
  Dtype dtype;
  std::string_view name;
  double bits;        // of the payload
  double scale_bits;  // of scale and zero point per group
  double group;       // elements that share them
  MathType math;      // the path used when both operands have this format
};

inline constexpr std::array<DtypeInfo, 12> kDtypes{{
    {Dtype::fp32, "fp32", 32, 0, 1, MathType::fp32},
    {Dtype::tf32, "tf32", 32, 0, 1, MathType::tf32},
    {Dtype::bf16, "bf16", 16, 0, 1, MathType::bf16},
    {Dtype::fp16, "fp16", 16, 0, 1, MathType::fp16},
    {Dtype::fp8, "fp8", 8, 0, 1, MathType::fp8},
    {Dtype::fp8_block128, "fp8_block128", 8, 32, 128 * 128, MathType::fp8},
    {Dtype::fp8_per_token, "fp8_per_token", 8, 32, 128, MathType::fp8},
    {Dtype::int8, "int8", 8, 0, 1, MathType::int8},
    {Dtype::int8_per_token, "int8_per_token", 8, 32, 128, MathType::int8},
    {Dtype::int4_g128, "int4_g128", 4, 20, 128, MathType::bf16},  // dequantised before the product
    {Dtype::nvfp4, "nvfp4", 4, 8, 16, MathType::fp4},
    {Dtype::mxfp4, "mxfp4", 4, 8, 32, MathType::fp4},
}};

constexpr const DtypeInfo& info(Dtype d) { return kDtypes[static_cast<std::size_t>(d)]; }
constexpr std::string_view name(Dtype d) { return info(d).name; }

/// Bytes per stored element with its share of the scales:
/// nvfp4 0.5625, mxfp4 0.53125, int4 0.51953.
constexpr ElementSize element_size(Dtype d) {
  const DtypeInfo& i = info(d);
  return ElementSize{(i.bits + i.scale_bits / i.group) / 8};
}

constexpr std::string_view name(MathType m) {
  constexpr std::array<std::string_view, kNumMathTypes> names{"fp32", "tf32", "bf16", "fp16",
                                                              "fp8",  "int8", "fp4"};
  return names[static_cast<std::size_t>(m)];
}

/// nullopt for an unknown name; the caller reports where it stood.
constexpr std::optional<Dtype> dtype_from_name(std::string_view s) {
  for (const DtypeInfo& i : kDtypes)
    if (i.name == s) return i.dtype;
  if (s == "bfloat16") return Dtype::bf16;
  if (s == "float16" || s == "half") return Dtype::fp16;
  if (s == "float32" || s == "float") return Dtype::fp32;
  if (s == "fp8_e4m3" || s == "fp8_e5m2") return Dtype::fp8;
  return std::nullopt;
}

}  // namespace kvroof
