// Tensor memory: 128 lanes by 512 columns of 32 bits in each SM, where D lies and A may lie.
//
//   address  lane << 16 | column                    PTX ISA 9.1, 9.7.16.1 "Tensor memory addressing"
//   warp w of a warpgroup reaches lanes 32 (w mod 4) … + 31 alone             9.7.16.8.1
//   D [128, n] fp32: row = lane, column n = column                9.7.16.10.5 "Layout D"
//   A [128, k] of 16 bits: row = lane, elements 2c and 2c + 1 in the low and the high half of
//   column c, so 16 of contraction are 8 columns
// The ISA's section on packing (9.7.16.10.4) does not show the last one. It is what two kernels
// that ran on a B200 store: gau-nernst/learn-cuda 02e_matmul_sm100/_matmul_tmem.cu, and flashinfer
// csrc/blackwell_msa/sm100a (9f50517). Layout D as in the former's matmul_v4.cu.
#pragma once
#include <cstdint>

#include "kernels/blackwell/host_device.hpp"

namespace kvroof::kernels::blackwell {

inline constexpr int kTensorColumns = 512, kTensorLanes = 128;

struct TensorAddress {
  std::uint32_t bits;
  KVROOF_HOST_DEVICE constexpr TensorAddress columns(int n) const {
    return {bits + static_cast<std::uint32_t>(n)};
  }
  KVROOF_HOST_DEVICE constexpr TensorAddress lanes(int n) const {
    return {bits + (static_cast<std::uint32_t>(n) << 16)};
  }
};

/// Columns that k elements of 16 bits of A take.
KVROOF_HOST_DEVICE constexpr int columns_of_16_bits(int k) { return k / 2; }

}  // namespace kvroof::kernels::blackwell
