// Programmatic dependent launch (sm_90): a kernel starts while the one before it in the stream ends.
// Without effect on older GPUs, and where the launch did not allow it.
#pragma once

namespace kvroof::kernels {

/// Waits for the kernel before this one in the stream, where the launch allowed an early start.
__device__ __forceinline__ void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel of the stream start its prologue.
__device__ __forceinline__ void allow_next_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace kvroof::kernels
