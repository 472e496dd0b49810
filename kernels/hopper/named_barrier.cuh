// Named barriers: hand-over between some warps of a block. Ids 1..15; 0 belongs to __syncthreads.
#pragma once

namespace kvroof::kernels::hopper {

/// Waits until `threads` threads (a multiple of 32, waiters and arrivers together) have come.
__device__ __forceinline__ void barrier_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// Comes to the barrier without waiting.
__device__ __forceinline__ void barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

}  // namespace kvroof::kernels::hopper
