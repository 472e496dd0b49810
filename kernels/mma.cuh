// Tensor-core products of one warp (mma.sync m16n8k16, sm_80) and the loads that feed them.
//
// Fragments, lane = 4·r + c (r 0..7, c 0..3), all 16-bit elements packed in pairs:
//   A [16 x 16]  a0 (r, 2c..)  a1 (r+8, 2c..)  a2 (r, 2c+8..)  a3 (r+8, 2c+8..)
//   B [16 x 8]   b0 (k = 2c.., n = r)          b1 (k = 2c+8.., n = r)
//   D [16 x 8]   d0, d1 (r, 2c..2c+1)          d2, d3 (r+8, 2c..2c+1)       fp32
// D of one product, packed to 16 bit, is A of the next one: P never leaves the registers.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace kvroof::kernels {

using bf16 = __nv_bfloat16;

/// Four 8x8 matrices of 16-bit elements; lane i points at row i % 8 of matrix i / 8.
__device__ __forceinline__ void load_matrices(std::uint32_t (&r)[4], std::uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row_address));
}

/// The same, each matrix transposed on the way.
__device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&r)[4],
                                                         std::uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row_address));
}

/// d += a · b, bf16 operands, fp32 sum: 4096 FLOP.
__device__ __forceinline__ void mma(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                    std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// d += a · b, fp16 operands, fp32 sum.
__device__ __forceinline__ void mma_fp16(float (&d)[4], const std::uint32_t (&a)[4],
                                         std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ std::uint32_t bits(__nv_bfloat162 x) {
  return *reinterpret_cast<std::uint32_t*>(&x);
}
__device__ __forceinline__ std::uint32_t bits(__half2 x) {
  return *reinterpret_cast<std::uint32_t*>(&x);
}
__device__ __forceinline__ std::uint32_t pack_bf16(float lo, float hi) {
  return bits(__floats2bfloat162_rn(lo, hi));
}
__device__ __forceinline__ std::uint32_t pack_fp16(float lo, float hi) {
  return bits(__floats2half2_rn(lo, hi));
}

/// The transpose of an 8x8 matrix of 16-bit elements, of which a lane holds (r, 2c..2c+1): half of
/// D becomes half of B.
__device__ __forceinline__ std::uint32_t transposed(std::uint32_t x) {
  std::uint32_t y;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
  return y;
}

/// The two 16-bit formats, for kernels of either.
struct Bf16 {
  __device__ static void mma(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                             std::uint32_t b1) {
    kernels::mma(d, a, b0, b1);
  }
  __device__ static std::uint32_t pack(float lo, float hi) { return pack_bf16(lo, hi); }
  __device__ static float2 unpack(std::uint32_t x) {
    return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&x));
  }
};
struct Fp16 {
  __device__ static void mma(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                             std::uint32_t b1) {
    mma_fp16(d, a, b0, b1);
  }
  __device__ static std::uint32_t pack(float lo, float hi) { return pack_fp16(lo, hi); }
  __device__ static float2 unpack(std::uint32_t x) {
    return __half22float2(*reinterpret_cast<const __half2*>(&x));
  }
};

/// e^x = 2^(x·log2 e); what is kept to base 2 leaves as a natural logarithm, times ln 2.
inline constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

/// 2^x on the MUFU pipe; 0 for -inf.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// 1 / x on the MUFU pipe.
__device__ __forceinline__ float reciprocal_approx(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace kvroof::kernels
