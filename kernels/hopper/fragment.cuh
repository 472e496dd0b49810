// Fragments: which element of a 64 x N accumulator each thread of a warpgroup holds, and what is
// done with it.
//
//   warp w, lane l holds rows r = 16w + l/4 and r + 8; for the column group g of 8:
//   d[4g], d[4g+1] = (r, 8g + 2(l%4)), (r, +1)
//   d[4g+2], d[4g+3] = the same columns of row r + 8
// Four neighbouring lanes share a row. PTX ISA, "Register fragments for wgmma.mma_async.m64nNk16".
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace kvroof::kernels::hopper {

/// row in the warpgroup's 64 of this thread's first row; its second is 8 below
__device__ __forceinline__ int fragment_row() {
  return static_cast<int>(threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4);
}
/// column in a group of 8 of this thread's first element; its second is the next
__device__ __forceinline__ int fragment_column() { return static_cast<int>(threadIdx.x % 4 * 2); }

template <class T>
__device__ __forceinline__ std::uint32_t pack2(float low, float high) {
  std::uint32_t packed;
  if constexpr (std::is_same_v<T, __half>)
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  else asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

/// Accumulator -> A operand of the next product (K = columns): with 16-bit types the registers are
/// already where wgmma wants them, only packed in pairs.
template <class T, int kCount>
__device__ __forceinline__ void to_operand(std::uint32_t (&a)[kCount / 2],
                                           const float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) a[i] = pack2<T>(d[2 * i], d[2 * i + 1]);
}

__device__ __forceinline__ std::uint32_t pack4_e4m3(float a, float b, float c, float d) {
  std::uint32_t packed;
  asm("{\n.reg .b16 low, high;\n"
      "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n"
      "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
      "mov.b32 %0, {low, high};\n}"
      : "=r"(packed)
      : "f"(a), "f"(b), "f"(c), "f"(d));
  return packed;
}

/// Accumulator -> 8-bit A operand. A thread's four columns of 16 are 2q, 2q+1, 8+2q, 8+2q+1
/// (q = lane mod 4) but wgmma reads them as 4q .. 4q+3, so the contraction runs over columns in the
/// order of e4m3_key_order(); the other operand has to be stored in that order.
template <int kCount>
__device__ __forceinline__ void to_e4m3_operand(std::uint32_t (&a)[kCount / 4],
                                                const float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount / 4; ++i) {  // register i % 4: row half i % 2, columns 16 (i % 4 / 2)
    const int at = i / 4 * 16 + i % 4 / 2 * 8 + i % 2 * 2;
    a[i] = pack4_e4m3(d[at], d[at + 1], d[at + 4], d[at + 5]);
  }
}
/// column, among 16, that stands at `position` of the 8-bit operand
__host__ __device__ constexpr int e4m3_key_order(int position) {
  return position % 4 / 2 * 8 + position / 4 * 2 + position % 2;
}

__device__ __forceinline__ float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFF, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xFFFFFFFF, x, 2));
}
__device__ __forceinline__ float row_sum(float x) {
  x += __shfl_xor_sync(0xFFFFFFFF, x, 1);
  return x + __shfl_xor_sync(0xFFFFFFFF, x, 2);
}

/// 4 x 4 transpose among the four lanes of a row: lane i gets word i of every lane, in lane order.
__device__ __forceinline__ void transpose_in_quad(std::uint32_t (&w)[4]) {
#pragma unroll
  for (int bit = 1; bit <= 2; bit *= 2) {
    const bool upper = threadIdx.x & static_cast<unsigned>(bit);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const int low = bit == 1 ? 2 * k : k, high = low + bit;
      const std::uint32_t got = __shfl_xor_sync(0xFFFFFFFF, upper ? w[low] : w[high], bit);
      w[low] = upper ? got : w[low];
      w[high] = upper ? w[high] : got;
    }
  }
}

/// One row (half = 0: the first, 1: the one 8 below) of the accumulator times `factor` -> out,
/// which is 16-byte aligned: every lane writes 16 bytes, the four lanes of a row 64 in one piece.
/// kStreams: the row leaves L2 before K and V do; costs a register or two.
template <class T, int kCount, bool kStreams = true>
__device__ __forceinline__ void store_row(T* out, const float (&d)[kCount], int half, float factor,
                                          bool valid) {
#pragma unroll
  for (int i = 0; i < kCount / 16; ++i) {  // 32 columns
    std::uint32_t w[4];
#pragma unroll
    for (int g = 0; g < 4; ++g) {
      const int at = 4 * (4 * i + g) + 2 * half;
      w[g] = pack2<T>(d[at] * factor, d[at + 1] * factor);
    }
    transpose_in_quad(w);
    auto* to = reinterpret_cast<uint4*>(out + 32 * i + 8 * (threadIdx.x % 4));
    const uint4 x = make_uint4(w[0], w[1], w[2], w[3]);
    if (valid) {
      if constexpr (kStreams) __stcs(to, x);
      else *to = x;
    }
  }
}

}  // namespace kvroof::kernels::hopper
