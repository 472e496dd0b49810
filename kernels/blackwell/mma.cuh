// tcgen05.mma: D [m, n] (+)= A [m, k] · B [n, k]^T, issued by one thread, run asynchronously.
//   D in tensor memory, fp32; B in shared memory; A in shared memory (ss) or tensor memory (ts)
//   kind::f16      bf16 or fp16, 16 of k an instruction
//   kind::f8f6f4   E4M3, 32 of k
// PTX ISA 9.1, 9.7.16.10.9.1 "tcgen05.mma".
//
// Order (9.7.16.6.2): instructions with the same D, shape and kind run in the order of issue; no
// others are promised to. commit() covers all that its thread issued before.
#pragma once
#include <cstdint>

#include "kernels/blackwell/instruction_descriptor.hpp"
#include "kernels/blackwell/shared_descriptor.hpp"
#include "kernels/blackwell/tensor_memory.hpp"

namespace kvroof::kernels::blackwell::mma {

enum class Kind { f16, f8f6f4 };

#define KV_TCGEN05(KIND, A)                                                               \
  asm volatile(                                                                           \
      "{\n.reg .pred p;\nsetp.ne.b32 p, %4, 0;\n"                                         \
      "tcgen05.mma.cta_group::1.kind::" KIND " [%0], " A ", %2, %3, p;\n}" ::"r"(d.bits), \
      KV_A, "l"(b.bits), "r"(descriptor), "r"(int{accumulate})                            \
      : "memory")

/// `descriptor`: instruction_descriptor(); accumulate false: D = A·B^T.
template <Kind kKind = Kind::f16>
__device__ __forceinline__ void ss(TensorAddress d, SharedDescriptor a, SharedDescriptor b,
                                   std::uint32_t descriptor, bool accumulate) {
#define KV_A "l"(a.bits)
  if constexpr (kKind == Kind::f16) KV_TCGEN05("f16", "%1");
  else KV_TCGEN05("f8f6f4", "%1");
#undef KV_A
}

template <Kind kKind = Kind::f16>
__device__ __forceinline__ void ts(TensorAddress d, TensorAddress a, SharedDescriptor b,
                                   std::uint32_t descriptor, bool accumulate) {
#define KV_A "r"(a.bits)
  if constexpr (kKind == Kind::f16) KV_TCGEN05("f16", "[%1]");
  else KV_TCGEN05("f8f6f4", "[%1]");
#undef KV_A
}
#undef KV_TCGEN05

}  // namespace kvroof::kernels::blackwell::mma
