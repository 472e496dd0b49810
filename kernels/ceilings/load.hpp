// A ceiling micro-kernel ("load"): a Case whose Work is the intended work, and the SM clock at
// which its last launch ran, read by the kernel itself.
#pragma once
#include <functional>
#include <string>

#include "kernels/bench.hpp"
#include "kernels/case.hpp"
#include "kernels/device.hpp"

namespace kvroof::kernels {

/// What one thread of a load saw between its first and its last instruction.
struct ClockSample {
  long long cycles;       // of its SM
  unsigned long long ns;  // of the GPU's wall clock
};

struct Load {
  Case kernel;
  Buffer clock;  // one ClockSample

  double sm_clock_hz() const {
    ClockSample s{};
    cudaMemcpy(&s, clock.as(), sizeof s, cudaMemcpyDeviceToHost);
    return s.ns > 0 ? 1e9 * static_cast<double>(s.cycles) / static_cast<double>(s.ns) : 0;
  }
};

inline Buffer clock_buffer() { return Buffer(sizeof(ClockSample)); }

#ifdef __CUDACC__
/// First instruction of a load; stop() is its last. One thread of the grid writes.
struct Stopwatch {
  long long cycles;
  unsigned long long ns;

  static __device__ unsigned long long wall() {
    unsigned long long t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
  }
  static __device__ Stopwatch start() { return {clock64(), wall()}; }
  __device__ void stop(ClockSample* out) const {
    if (blockIdx.x == 0 && threadIdx.x == 0) *out = {clock64() - cycles, wall() - ns};
  }
};
#endif

}  // namespace kvroof::kernels
