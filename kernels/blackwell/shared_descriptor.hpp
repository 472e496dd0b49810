// Shared-memory descriptors: how tcgen05.mma is told where an operand lies and how it is swizzled.
//
// Tiles are those of kernels/hopper/descriptor.cuh: [columns / C][rows][C] with C = 128 bytes of
// elements, 128-byte swizzled, 1024-byte aligned, as a TMA load writes them.
//
//   bits   0-13 address / 16        16-29 leading offset / 16      32-45 stride offset / 16
//         46-48 the constant 1      49-51 base offset, 0: atoms are 1024-byte aligned
//         52    0: leading offset is relative                       61-63 swizzle
// PTX ISA 9.1, 9.7.16.4.1 "Shared memory descriptor", table 40. The same fields:
// NVIDIA/cutlass include/cute/arch/mma_sm100_desc.hpp. wgmma's differ in bits 46-48 and 61-63.
#pragma once
#include <cstdint>

#include "kernels/blackwell/host_device.hpp"

namespace kvroof::kernels::blackwell {

enum class Swizzle : std::uint64_t { none = 0, bytes128 = 2, bytes64 = 4, bytes32 = 6 };

struct SharedDescriptor {
  std::uint64_t bits;
  /// the same tile `bytes` further on; stays inside the address field
  KVROOF_HOST_DEVICE constexpr SharedDescriptor operator+(int bytes) const {
    const auto low = static_cast<std::uint32_t>(bits) + static_cast<std::uint32_t>(bytes >> 4);
    return {(bits >> 32 << 32) | low};
  }
};

/// `address`: of shared memory, 18 bits; offsets in bytes, multiples of 16.
KVROOF_HOST_DEVICE constexpr SharedDescriptor shared_descriptor(std::uint32_t address, int leading,
                                                                int stride, Swizzle swizzle) {
  const auto field = [](std::uint32_t bytes) {
    return static_cast<std::uint64_t>((bytes & 0x3FFFF) >> 4);
  };
  return {field(address) | field(static_cast<std::uint32_t>(leading)) << 16 |
          field(static_cast<std::uint32_t>(stride)) << 32 | std::uint64_t{1} << 46 |
          static_cast<std::uint64_t>(swizzle) << 61};
}

/// Contraction runs along the 128-byte rows: canonical layout ((8,m),(T,2k)):((8T,SBO),(1,T)), so
/// the stride is 8 rows = 1024 bytes and the leading offset is not read. A step of 32 bytes of
/// contraction is +32 bytes, the next 128-byte block +rows·128.
KVROOF_HOST_DEVICE constexpr SharedDescriptor k_major(std::uint32_t tile) {
  return shared_descriptor(tile, 16, 1024, Swizzle::bytes128);
}

/// Contraction runs across the rows (V of P·V): ((T,8,m),(8,k)):((1,T,LBO),(8T,SBO)). The leading
/// offset leads to the next block of 128 bytes of columns, rows·128; the stride to the next 8 rows,
/// 1024. 16 rows of contraction are +2048 bytes.
KVROOF_HOST_DEVICE constexpr SharedDescriptor mn_major(std::uint32_t tile, int rows) {
  return shared_descriptor(tile, rows * 128, 1024, Swizzle::bytes128);
}

}  // namespace kvroof::kernels::blackwell
