// Instruction descriptors: shape and formats of a tcgen05.mma, 32 bits.
//
//   bits  4-5 D: 1 = fp32    7-9 A, 10-12 B: formats    15, 16: A, B run contraction across rows
//         17-22 N / 8        24-28 M / 16               all others 0: dense, nothing negated
// PTX ISA 9.1, 9.7.16.4.2 "Instruction descriptor", table 42. The same fields:
// NVIDIA/cutlass include/cute/arch/mma_sm100_desc.hpp, union InstrDescriptor.
#pragma once
#include <cstdint>

#include "kernels/blackwell/host_device.hpp"

namespace kvroof::kernels::blackwell {

/// Bits of A and B; the kind is part of the instruction, so fp16 and e4m3 may share a code.
enum class Format : std::uint32_t { fp16 = 0, bf16 = 1, e4m3 = 0 };
enum class Major : std::uint32_t { k = 0, mn = 1 };

/// D [m, n] in fp32; A K-major. cta_group::1: m 128 (n a multiple of 16 up to 256) or 64.
struct Instruction {
  int m, n;
  Format format;
  Major b = Major::k;
};

KVROOF_HOST_DEVICE constexpr std::uint32_t instruction_descriptor(const Instruction& i) {
  const auto format = static_cast<std::uint32_t>(i.format);
  return 1u << 4 | format << 7 | format << 10 | static_cast<std::uint32_t>(i.b) << 16 |
         static_cast<std::uint32_t>(i.n / 8) << 17 | static_cast<std::uint32_t>(i.m / 16) << 24;
}

}  // namespace kvroof::kernels::blackwell
