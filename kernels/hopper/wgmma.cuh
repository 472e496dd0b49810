// wgmma: D[64, N] (+)= A[64, K] · B[K, N], issued by a warpgroup, run asynchronously.
//   K = 16 for bf16 and fp16, 32 for e4m3; D in fp32 registers, N / 2 a thread (fragment.cuh)
//   A from shared memory (ss) or registers (rs), B from shared memory, by Descriptor
//
// Order: fence(); any number of ss/rs; commit(); wait<pending>(). Between an issue and its wait no
// other instruction may touch D (or A in registers); pin() keeps the compiler from doing so.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "kernels/hopper/descriptor.cuh"

namespace kvroof::kernels::hopper::wgmma {

__device__ __forceinline__ void fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// returns when at most kPending of the newest groups are unfinished
template <int kPending>
__device__ __forceinline__ void wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// No value of the array may move across this point.
template <int kCount>
__device__ __forceinline__ void pin(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

enum class Major { k, mn };  // which way B's contraction runs; 8-bit types: k only

template <int kN>
struct Mma;  // ss<T, Major>(d, a, b, accumulate) and rs<T, Major>(d, a[4], b, accumulate)

// Operand lists for R accumulator registers, eight at a time.
#define KV_OPS8(i)                                                                            \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define KV_OPS32  KV_OPS8(0), KV_OPS8(8), KV_OPS8(16), KV_OPS8(24)
#define KV_OPS40  KV_OPS32, KV_OPS8(32)
#define KV_OPS48  KV_OPS40, KV_OPS8(40)
#define KV_OPS56  KV_OPS48, KV_OPS8(48)
#define KV_OPS64  KV_OPS56, KV_OPS8(56)
#define KV_OPS72  KV_OPS64, KV_OPS8(64)
#define KV_OPS80  KV_OPS72, KV_OPS8(72)
#define KV_OPS88  KV_OPS80, KV_OPS8(80)
#define KV_OPS96  KV_OPS88, KV_OPS8(88)
#define KV_OPS104 KV_OPS96, KV_OPS8(96)
#define KV_OPS112 KV_OPS104, KV_OPS8(104)
#define KV_OPS120 KV_OPS112, KV_OPS8(112)
#define KV_OPS128 KV_OPS120, KV_OPS8(120)
#define KV_TEXT32                                                                          \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23," \
  "%24,%25,%26,%27,%28,%29,%30,%31"
#define KV_TEXT40  KV_TEXT32 ",%32,%33,%34,%35,%36,%37,%38,%39"
#define KV_TEXT48  KV_TEXT40 ",%40,%41,%42,%43,%44,%45,%46,%47"
#define KV_TEXT56  KV_TEXT48 ",%48,%49,%50,%51,%52,%53,%54,%55"
#define KV_TEXT64  KV_TEXT56 ",%56,%57,%58,%59,%60,%61,%62,%63"
#define KV_TEXT72  KV_TEXT64 ",%64,%65,%66,%67,%68,%69,%70,%71"
#define KV_TEXT80  KV_TEXT72 ",%72,%73,%74,%75,%76,%77,%78,%79"
#define KV_TEXT88  KV_TEXT80 ",%80,%81,%82,%83,%84,%85,%86,%87"
#define KV_TEXT96  KV_TEXT88 ",%88,%89,%90,%91,%92,%93,%94,%95"
#define KV_TEXT104 KV_TEXT96 ",%96,%97,%98,%99,%100,%101,%102,%103"
#define KV_TEXT112 KV_TEXT104 ",%104,%105,%106,%107,%108,%109,%110,%111"
#define KV_TEXT120 KV_TEXT112 ",%112,%113,%114,%115,%116,%117,%118,%119"
#define KV_TEXT128 KV_TEXT120 ",%120,%121,%122,%123,%124,%125,%126,%127"

// R, R1..R6: the accumulator count and the six operand numbers after it, as literals.
#define KV_SS(N, R, R1, R2, R3, SHAPE, TAIL, ...)                           \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #R2                     \
               ", 0;\n"                                                     \
               "wgmma.mma_async.sync.aligned.m64n" #N SHAPE " {" KV_TEXT##R \
               "}, %" #R ", %" #R1 ", p, 1, 1" TAIL ";\n}"                  \
               : KV_OPS##R                                                  \
               : "l"(a.bits), "l"(b.bits), "r"(int{accumulate})__VA_ARGS__)
#define KV_RS(N, R, R1, R2, R3, R4, R5, R6, SHAPE, TAIL, ...)                              \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #R5                                    \
               ", 0;\n"                                                                    \
               "wgmma.mma_async.sync.aligned.m64n" #N SHAPE " {" KV_TEXT##R                \
               "}, {%" #R ", %" #R1 ", %" #R2 ", %" #R3 "}, %" #R4 ", p, 1, 1" TAIL ";\n}" \
               : KV_OPS##R                                                                 \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.bits),                  \
                 "r"(int{accumulate})__VA_ARGS__)
#define KV_BF16  "k16.f32.bf16.bf16"
#define KV_FP16  "k16.f32.f16.f16"
#define KV_E4M3  "k32.f32.e4m3.e4m3"
#define KV_COMMA ,

#define KV_MMA(N, R, R1, R2, R3, R4, R5, R6)                                                       \
  template <>                                                                                      \
  struct Mma<N> {                                                                                  \
    template <class T, Major kB>                                                                   \
    static __device__ __forceinline__ void ss(float (&d)[R], Descriptor a, Descriptor b,           \
                                              bool accumulate) {                                   \
      constexpr int t = kB == Major::mn;                                                           \
      if constexpr (sizeof(T) == 1) {                                                              \
        static_assert(t == 0);                                                                     \
        KV_SS(N, R, R1, R2, R3, KV_E4M3, "");                                                      \
      } else if constexpr (std::is_same_v<T, __half>) {                                            \
        KV_SS(N, R, R1, R2, R3, KV_FP16, ", 0, %" #R3, KV_COMMA "n"(t));                           \
      } else {                                                                                     \
        KV_SS(N, R, R1, R2, R3, KV_BF16, ", 0, %" #R3, KV_COMMA "n"(t));                           \
      }                                                                                            \
    }                                                                                              \
    template <class T, Major kB>                                                                   \
    static __device__ __forceinline__ void rs(float (&d)[R], const std::uint32_t* a, Descriptor b, \
                                              bool accumulate) {                                   \
      constexpr int t = kB == Major::mn;                                                           \
      if constexpr (sizeof(T) == 1) {                                                              \
        static_assert(t == 0);                                                                     \
        KV_RS(N, R, R1, R2, R3, R4, R5, R6, KV_E4M3, "");                                          \
      } else if constexpr (std::is_same_v<T, __half>) {                                            \
        KV_RS(N, R, R1, R2, R3, R4, R5, R6, KV_FP16, ", %" #R6, KV_COMMA "n"(t));                  \
      } else {                                                                                     \
        KV_RS(N, R, R1, R2, R3, R4, R5, R6, KV_BF16, ", %" #R6, KV_COMMA "n"(t));                  \
      }                                                                                            \
    }                                                                                              \
  }

KV_MMA(64, 32, 33, 34, 35, 36, 37, 38);
KV_MMA(80, 40, 41, 42, 43, 44, 45, 46);
KV_MMA(96, 48, 49, 50, 51, 52, 53, 54);
KV_MMA(112, 56, 57, 58, 59, 60, 61, 62);
KV_MMA(128, 64, 65, 66, 67, 68, 69, 70);
KV_MMA(144, 72, 73, 74, 75, 76, 77, 78);
KV_MMA(160, 80, 81, 82, 83, 84, 85, 86);
KV_MMA(176, 88, 89, 90, 91, 92, 93, 94);
KV_MMA(192, 96, 97, 98, 99, 100, 101, 102);
KV_MMA(208, 104, 105, 106, 107, 108, 109, 110);
KV_MMA(224, 112, 113, 114, 115, 116, 117, 118);
KV_MMA(240, 120, 121, 122, 123, 124, 125, 126);
KV_MMA(256, 128, 129, 130, 131, 132, 133, 134);

}  // namespace kvroof::kernels::hopper::wgmma
