// Tensor memory from a kernel: allocation, and moves from and to registers.
// PTX ISA 9.1, 9.7.16.7 "Allocation and management", 9.7.16.8 "tcgen05.ld, tcgen05.st, wait".
//
// Shape .32x32b: lane l of the warp holds the row of tensor memory lane 32 (warp mod 4) + l, one
// column a register. A register that ld fills may be read at once, the hardware waits for it
// (9.7.16.6.4.5); wait_loads() is for whoever overwrites the columns.
#pragma once
#include <cstdint>

#include "kernels/blackwell/tensor_memory.hpp"
#include "kernels/hopper/descriptor.cuh"

namespace kvroof::kernels::blackwell {

/// All columns -> *where in shared memory; one whole warp. Blocks while another block of the SM
/// holds some: kernels that call it must run one block per SM.
__device__ __forceinline__ void allocate_all(std::uint32_t* where) {
  asm volatile(
      "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], %1;\n"
      "tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;" ::"r"(
          hopper::shared_address(where)),
      "n"(kTensorColumns)
      : "memory");
}
/// Before the block ends, by the warp that allocated, when nobody uses tensor memory any more.
__device__ __forceinline__ void free_all(TensorAddress base) {
  asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, %1;" ::"r"(base.bits),
               "n"(kTensorColumns)
               : "memory");
}

#define KV_TMEM_TEXT32                                                                         \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24" \
  ",%25,%26,%27,%28,%29,%30,%31}"
#define KV_TMEM_8(c, x, i) \
  c(x[i]), c(x[i + 1]), c(x[i + 2]), c(x[i + 3]), c(x[i + 4]), c(x[i + 5]), c(x[i + 6]), c(x[i + 7])
#define KV_TMEM_32(c, x) \
  KV_TMEM_8(c, x, 0), KV_TMEM_8(c, x, 8), KV_TMEM_8(c, x, 16), KV_TMEM_8(c, x, 24)

/// 32 columns of this thread's row, as fp32. All lanes of the warp, with the same address.
__device__ __forceinline__ void load_columns(float* x, TensorAddress from) {
  asm volatile("tcgen05.ld.sync.aligned.32x32b.x32.b32 " KV_TMEM_TEXT32 ", [%32];"
               : KV_TMEM_32("=f", x)
               : "r"(from.bits)
               : "memory");
}
#undef KV_TMEM_TEXT32
#define KV_TMEM_TEXT32                                                                          \
  "{%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25" \
  ",%26,%27,%28,%29,%30,%31,%32}"
__device__ __forceinline__ void store_columns(TensorAddress to, const float* x) {
  asm volatile("tcgen05.st.sync.aligned.32x32b.x32.b32 [%0], " KV_TMEM_TEXT32 ";" ::"r"(to.bits),
               KV_TMEM_32("f", x)
               : "memory");
}
__device__ __forceinline__ void store_columns(TensorAddress to, const std::uint32_t* x) {
  asm volatile("tcgen05.st.sync.aligned.32x32b.x32.b32 [%0], " KV_TMEM_TEXT32 ";" ::"r"(to.bits),
               KV_TMEM_32("r", x)
               : "memory");
}
#undef KV_TMEM_TEXT32
#undef KV_TMEM_32
#undef KV_TMEM_8

/// All loads (stores) of this warp have happened.
__device__ __forceinline__ void wait_loads() {
  asm volatile("tcgen05.wait::ld.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wait_stores() {
  asm volatile("tcgen05.wait::st.sync.aligned;" ::: "memory");
}

}  // namespace kvroof::kernels::blackwell
