// A ceiling micro-kernel ("load"): a Case whose Work is the intended work, and the SM clock at
// which its last launch ran, read by the kernel itself.
#pragma once
#include <functional>
#include <string>

#include "kernels/bench.hpp"
#include "kernels/case.hpp"
#include "kernels/check.hpp"
#include "kernels/device.hpp"

namespace kvroof::kernels {

/// Sums over the launches since the last reset, as one thread of the grid saw them from its block's
/// first to its last instruction.
struct ClockSample {
  unsigned long long cycles;  // of its SM
  unsigned long long ns;      // of the GPU's wall clock
};

/// The SM clock over what a ClockSample has summed; 0 for nothing.
inline double clock_hz_of(const Buffer& clock) {
  ClockSample s{};
  CUDA_CHECK(cudaMemcpy(&s, clock.as(), sizeof s, cudaMemcpyDeviceToHost));
  return s.ns > 0 ? 1e9 * static_cast<double>(s.cycles) / static_cast<double>(s.ns) : 0;
}

struct Load {
  Case kernel;
  Buffer clock;  // one ClockSample

  void reset_clock() const { CUDA_CHECK(cudaMemset(clock.as(), 0, sizeof(ClockSample))); }
  double sm_clock_hz() const { return clock_hz_of(clock); }
};

inline Buffer clock_buffer() {
  const Buffer b(sizeof(ClockSample));
  CUDA_CHECK(cudaMemset(b.as(), 0, b.bytes()));
  return b;
}

#ifdef __CUDACC__
/// First instruction of a load; stop() is its last.
struct Stopwatch {
  long long cycles;
  unsigned long long ns;

  static __device__ unsigned long long wall() {
    unsigned long long t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
  }
  static __device__ Stopwatch start() { return {clock64(), wall()}; }
  /// for the one thread that works alone in its block
  __device__ void stop_alone(ClockSample* out) const {
    if (blockIdx.x != 0) return;
    atomicAdd(&out->cycles, static_cast<unsigned long long>(clock64() - cycles));
    atomicAdd(&out->ns, wall() - ns);
  }
  /// All threads of the block: the first warp may be done long before the last.
  __device__ void stop(ClockSample* out) const {
    __syncthreads();
    if (threadIdx.x == 0) stop_alone(out);
  }
};
#endif

}  // namespace kvroof::kernels
