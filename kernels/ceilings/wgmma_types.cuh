// wgmma with both operands in shared memory for five number formats: D [64, N] += A · B^T over 32
// bytes of k. Types: 0 bf16, 1 fp16, 2 tf32, 3 fp8 (E4M3), 4 int8 (32-bit integer accumulator).
#pragma once
#include <cstdint>
#include <type_traits>

namespace kvroof::kernels {

__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// clang-format off
// Register lists: the names %0 … %(n-1) and the operands behind them.
#define KVROOF_TEN(t) \
  "%" #t "0,%" #t "1,%" #t "2,%" #t "3,%" #t "4,%" #t "5,%" #t "6,%" #t "7,%" #t "8,%" #t "9,"
#define KVROOF_NAMES_16 KVROOF_TEN() "%10,%11,%12,%13,%14,%15"
#define KVROOF_NAMES_32 KVROOF_TEN() KVROOF_TEN(1) KVROOF_TEN(2) "%30,%31"
#define KVROOF_NAMES_128                                                              \
  KVROOF_TEN()                                                                        \
  KVROOF_TEN(1)                                                                       \
  KVROOF_TEN(2) KVROOF_TEN(3) KVROOF_TEN(4) KVROOF_TEN(5) KVROOF_TEN(6) KVROOF_TEN(7) \
      KVROOF_TEN(8) KVROOF_TEN(9) KVROOF_TEN(10)                                      \
          KVROOF_TEN(11) "%120,%121,%122,%123,%124,%125,%126,%127"
// clang-format on
#define KVROOF_OPS_4(c, i) c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3])
#define KVROOF_OPS_16(c, i) \
  KVROOF_OPS_4(c, i), KVROOF_OPS_4(c, i + 4), KVROOF_OPS_4(c, i + 8), KVROOF_OPS_4(c, i + 12)
#define KVROOF_OPS_32(c, i) KVROOF_OPS_16(c, i), KVROOF_OPS_16(c, i + 16)
#define KVROOF_OPS_128(c, i) \
  KVROOF_OPS_32(c, i), KVROOF_OPS_32(c, i + 32), KVROOF_OPS_32(c, i + 64), KVROOF_OPS_32(c, i + 96)

#define KVROOF_WGMMA(shape, registers, first, second, constraint, tail)                           \
  asm volatile(                                                                                   \
      "{.reg .pred add; setp.ne.b32 add, 1, 0;\n"                                                 \
      "wgmma.mma_async.sync.aligned." shape " {" KVROOF_NAMES_##registers "}, " first ", " second \
                                                                          ", add" tail ";}"       \
      : KVROOF_OPS_##registers(constraint, 0)                                                     \
      : "l"(a), "l"(b))

/// 64 x kN accumulator of one warpgroup; fragment layout as in the PTX ISA.
template <int kType, int kN>
struct Accumulator {
  static constexpr int kRegisters = kN / 2;
  using Value = std::conditional_t<kType == 4, std::int32_t, float>;
  Value d[kRegisters];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < kRegisters; ++i) d[i] = 0;
  }

  /// D += A · B^T; a, b: descriptors. 1, 1 negate nothing; 0, 0 take both operands K-major.
  __device__ __forceinline__ void multiply_add(std::uint64_t a, std::uint64_t b) {
    if constexpr (kType == 0 && kN == 256)
      KVROOF_WGMMA("m64n256k16.f32.bf16.bf16", 128, "%128", "%129", "+f", ", 1, 1, 0, 0");
    else if constexpr (kType == 0 && kN == 64)
      KVROOF_WGMMA("m64n64k16.f32.bf16.bf16", 32, "%32", "%33", "+f", ", 1, 1, 0, 0");
    else if constexpr (kType == 0 && kN == 32)
      KVROOF_WGMMA("m64n32k16.f32.bf16.bf16", 16, "%16", "%17", "+f", ", 1, 1, 0, 0");
    else if constexpr (kType == 1)
      KVROOF_WGMMA("m64n256k16.f32.f16.f16", 128, "%128", "%129", "+f", ", 1, 1, 0, 0");
    else if constexpr (kType == 2)
      KVROOF_WGMMA("m64n256k8.f32.tf32.tf32", 128, "%128", "%129", "+f", ", 1, 1");
    else if constexpr (kType == 3)
      KVROOF_WGMMA("m64n256k32.f32.e4m3.e4m3", 128, "%128", "%129", "+f", ", 1, 1");
    else KVROOF_WGMMA("m64n256k32.s32.s8.s8", 128, "%128", "%129", "+r", "");
  }

  /// The compiler may not move uses of D above this point.
  __device__ __forceinline__ void settle() {
#pragma unroll
    for (int i = 0; i < kRegisters; ++i) {
      if constexpr (kType == 4) asm volatile("" : "+r"(d[i]));
      else asm volatile("" : "+f"(d[i]));
    }
  }

  /// out [64, kN] of this warpgroup.
  __device__ __forceinline__ void store(float* out) const {
    const int row = static_cast<int>(threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4);
    const int column = static_cast<int>(threadIdx.x % 4 * 2);
#pragma unroll
    for (int i = 0; i < kRegisters; ++i)
      out[(row + i / 2 % 2 * 8) * kN + i / 4 * 8 + column + i % 2] = static_cast<float>(d[i]);
  }
};

}  // namespace kvroof::kernels
