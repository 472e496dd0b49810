// mbarrier: a barrier in shared memory that counts arrivals and bytes written by TMA.
#pragma once
#include <cstdint>

#include "kernels/hopper/descriptor.cuh"

namespace kvroof::kernels::hopper {

__device__ __forceinline__ void arrive_at(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
/// whether the phase of this parity has completed; may wait for a moment
__device__ __forceinline__ bool try_wait_at(std::uint32_t barrier, std::uint32_t parity) {
  std::uint32_t done;
  asm volatile(
      "{\n.reg .pred p;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n}"
      : "=r"(done)
      : "r"(barrier), "r"(parity)
      : "memory");
  return done != 0;
}
__device__ __forceinline__ void wait_at(std::uint32_t barrier, std::uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "retry:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra finished;\n"
      "bra retry;\n"
      "finished:\n}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

/// A phase completes when `count` arrivals came and all announced bytes have landed.
struct Mbarrier {
  std::uint64_t state;

  __device__ __forceinline__ void init(int count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(this)), "r"(count));
  }
  __device__ __forceinline__ void arrive() { arrive_at(shared_address(this)); }
  /// one arrival that also announces `bytes` to come by TMA
  __device__ __forceinline__ void arrive_expect(int bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(this)),
        "r"(bytes)
        : "memory");
  }
  /// returns once the phase of this parity has completed
  __device__ __forceinline__ void wait(std::uint32_t parity) {
    wait_at(shared_address(this), parity);
  }
};

/// After init() and before any other thread or TMA uses the barriers; follow with __syncthreads.
__device__ __forceinline__ void fence_barrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

/// Ordinary writes to shared memory become visible to TMA and wgmma; each writer, then a barrier.
__device__ __forceinline__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// Position in a ring of kStages buffers. The parity flips on every wrap; a producer starts with
/// parity 1, so that its first pass finds every buffer free.
template <int kStages>
struct Ring {
  int stage = 0;
  std::uint32_t parity = 0;
  __device__ __forceinline__ void advance() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

}  // namespace kvroof::kernels::hopper
