// The number formats that tensor ceilings are measured in; the argument "type" of their loads is a
// position in this table.
#pragma once
#include <bit>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/case.hpp"
#include "model/dtype.hpp"

namespace kvroof::kernels {

struct TensorType {
  const char* name;
  Dtype dtype;
  MathType math;
  int bytes;
};
enum TensorTypeIdx { kBf16, kFp16, kTf32, kFp8, kInt8 };  // kFp8: E4M3
inline constexpr TensorType kTensorTypes[] = {{"bf16", Dtype::bf16, MathType::bf16, 2},
                                              {"fp16", Dtype::fp16, MathType::fp16, 2},
                                              {"tf32", Dtype::tf32, MathType::tf32, 4},
                                              {"fp8", Dtype::fp8, MathType::fp8, 1},
                                              {"int8", Dtype::int8, MathType::int8, 1}};
inline constexpr int kNumTensorTypes = static_cast<int>(std::size(kTensorTypes));

/// The argument "type" of a load; throws std::invalid_argument for a position past the table.
inline int tensor_type_of(const Args& args, const char* kernel) {
  const double type = arg(args, "type", kBf16);
  if (!(type >= 0 && type < kNumTensorTypes))
    throw std::invalid_argument(std::string(kernel) +
                                ": type is 0 bf16, 1 fp16, 2 tf32, 3 fp8 or 4 int8");
  return static_cast<int>(type);
}

/// What the tensor cores keep of an fp32 operand: its low 13 bits are dropped.
inline float as_tf32(float x) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xffffe000u);
}

}  // namespace kvroof::kernels
