// Who may touch tensor memory when: fences, commit to an mbarrier, and waits that end.
//
// The four patterns of PTX ISA 9.1, 9.7.16.6.4 "Canonical synchronization patterns":
//   mma -> ld elsewhere      commit(barrier)                      | wait, fence_after()
//   ld, st -> mma elsewhere  wait_loads/stores, fence_before(), arrive | wait, fence_after()
#pragma once
#include <cstdint>

#include "kernels/hopper/mbarrier.cuh"

namespace kvroof::kernels::blackwell {

/// tcgen05 operations above stay above what tells other threads of them.
__device__ __forceinline__ void fence_before() {
  asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");
}
/// tcgen05 operations below stay below what this thread waited for.
__device__ __forceinline__ void fence_after() {
  asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");
}

/// One arrival when all tcgen05.mma that this thread issued have completed; fences included.
__device__ __forceinline__ void commit(hopper::Mbarrier& barrier) {
  asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(
                   hopper::shared_address(&barrier))
               : "memory");
}

/// True in one lane of a converged warp, the same one every time.
__device__ __forceinline__ bool elected() {
  std::uint32_t chosen;
  asm volatile(
      "{\n.reg .pred p;\nelect.sync _|p, 0xFFFFFFFF;\n"
      "selp.u32 %0, 1, 0, p;\n}"
      : "=r"(chosen));
  return chosen != 0;
}

/// Nothing these kernels wait for takes a millisecond. A wait of two seconds is a fault: the block
/// traps, and the launch fails with an error instead of never ending.
inline constexpr unsigned long long kLongestWait = 2'000'000'000;  // ns

__device__ __forceinline__ unsigned long long wall_ns() {
  unsigned long long t;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  return t;
}
/// Returns once the phase of this parity has completed.
__device__ __forceinline__ void wait_bounded(hopper::Mbarrier& barrier, std::uint32_t parity) {
  const std::uint32_t at = hopper::shared_address(&barrier);
  if (hopper::try_wait_at(at, parity)) return;
  const unsigned long long start = wall_ns();
  while (!hopper::try_wait_at(at, parity))
    if (wall_ns() - start > kLongestWait) __trap();
}

}  // namespace kvroof::kernels::blackwell
