// Shared-memory matrix descriptors: how wgmma is told where a tile lies and how it is swizzled.
//
// A tile is stored in blocks of 128 bytes by `rows`, 128-byte swizzled, 1024-byte aligned, which is
// what a TMA load with a 128-byte inner box writes:
//   tile [columns / C][rows][C]   with C = 128 bytes of elements, 8 rows = one 1024-byte atom
// PTX ISA, "Asynchronous warpgroup level matrix shared memory layout".
#pragma once
#include <cstdint>

namespace kvroof::kernels::hopper {

/// 18-bit address of shared memory, as PTX wants it.
__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// 64 bits: address, leading and stride byte offsets in units of 16 bytes, swizzle mode 1 = 128 B,
/// 2 = 64 B, 3 = 32 B.
struct Descriptor {
  std::uint64_t bits;
  /// the same tile `bytes` further on; stays inside the address field, so only the low word changes
  __device__ __forceinline__ Descriptor operator+(int bytes) const {
    const auto low = static_cast<std::uint32_t>(bits) + static_cast<std::uint32_t>(bytes >> 4);
    return {(bits >> 32 << 32) | low};
  }
};

/// `tile`: address in shared memory.
__device__ __forceinline__ Descriptor descriptor(std::uint32_t tile, int leading, int stride,
                                                 std::uint64_t swizzle) {
  const std::uint64_t address = (tile & 0x3FFFF) >> 4;
  return {address | static_cast<std::uint64_t>(leading >> 4) << 16 |
          static_cast<std::uint64_t>(stride >> 4) << 32 | swizzle << 62};
}

__device__ __forceinline__ Descriptor descriptor(const void* tile, int leading, int stride,
                                                 std::uint64_t swizzle) {
  return descriptor(shared_address(tile), leading, stride, swizzle);
}

/// Contraction runs along the 128-byte rows (Q and K of Q·K^T). The leading offset is not read; a
/// step of 32 bytes of contraction is +32 bytes in the row, the next 128-byte block +rows·128.
__device__ __forceinline__ Descriptor k_major(std::uint32_t tile) {
  return descriptor(tile, 16, 1024, 1);
}
__device__ __forceinline__ Descriptor k_major(const void* tile) {
  return k_major(shared_address(tile));
}

/// The same with rows and swizzle of 64 or 32 bytes: 8 rows are 512 or 256 bytes.
template <int kSpan>
__device__ __forceinline__ Descriptor k_major_narrow(std::uint32_t tile) {
  static_assert(kSpan == 64 || kSpan == 32);
  return descriptor(tile, 16, 8 * kSpan, kSpan == 64 ? 2 : 3);
}

/// Contraction runs across the rows (V of P·V). `rows` of the tile = distance of neighbouring
/// column blocks; 16 rows of contraction are +2048 bytes.
__device__ __forceinline__ Descriptor mn_major(std::uint32_t tile, int rows) {
  return descriptor(tile, rows * 128, 1024, 1);
}
__device__ __forceinline__ Descriptor mn_major(const void* tile, int rows) {
  return mn_major(shared_address(tile), rows);
}

}  // namespace kvroof::kernels::hopper
