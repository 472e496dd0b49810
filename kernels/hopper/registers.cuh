// setmaxnreg: a warpgroup gives registers back or takes more. The kernel needs __launch_bounds__
// (threads, 1), every warp of the warpgroup must come, and roles must be branches of one if/else.
#pragma once

namespace kvroof::kernels::hopper {

template <int kRegisters>  // a multiple of 8 in [24, 256]
__device__ __forceinline__ void give_back_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/// Warp-uniform to the compiler, so that what follows from it can live in uniform registers.
__device__ __forceinline__ int warpgroup_index() {
  return __shfl_sync(0xFFFFFFFF, static_cast<int>(threadIdx.x) / 128, 0);
}

}  // namespace kvroof::kernels::hopper
