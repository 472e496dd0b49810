// A barrier across all SMs inside one kernel: the price of a step in a persistent kernel.
//
//   cooperative  cooperative_groups::this_grid().sync()
//   counter      every block adds to one counter in L2 and spins until all have come
#include <cooperative_groups.h>

#include "kernels/ceilings/load.hpp"
#include "kernels/ceilings/measure.hpp"
#include "kernels/check.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kBarriers = 1000;

__global__ void cooperative(ClockSample* clock) {
  const Stopwatch watch = Stopwatch::start();
  const auto grid = cooperative_groups::this_grid();
  for (int i = 0; i < kBarriers; ++i) grid.sync();
  watch.stop(clock);
}

/// `arrived` only grows; barrier i is passed when all blocks have arrived i + 1 times since `base`.
__global__ void counter(unsigned* arrived, ClockSample* clock) {
  const Stopwatch watch = Stopwatch::start();
  for (unsigned i = 0; i < kBarriers; ++i) {
    __syncthreads();
    if (threadIdx.x == 0) {
      __threadfence();
      unsigned seen = atomicAdd(arrived, 1) + 1;
      const unsigned wanted = (seen + gridDim.x - 1) / gridDim.x * gridDim.x;
      while (static_cast<int>(seen - wanted) < 0)
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(arrived) : "memory");
    }
    __syncthreads();
  }
  watch.stop(clock);
}

}  // namespace

std::vector<Ceiling> measure_grid_barrier() {
  const Buffer arrived(sizeof(unsigned)), clock = clock_buffer();
  ClockSample* sample = clock.as<ClockSample>();
  unsigned* count = arrived.as<unsigned>();
  const auto cooperate = [](const void* kernel, void** args, cudaStream_t stream) {
    CUDA_CHECK(
        cudaLaunchCooperativeKernel(kernel, dim3(gpu().num_sms), dim3(128), args, 0, stream));
  };
  const Timing timing{.repeats = 20, .launches = 1, .submit = Submit::stream};
  std::vector<Ceiling> rows;
  const auto add = [&](const char* variant, const Launch& launch) {
    const Stats s = rate(1.0 / kBarriers, rate(1, time_launches(launch, timing)));
    rows.push_back({.name = "grid_barrier",
                    .variant = variant,
                    .unit = "s",
                    .value = s,
                    .sm_clock_hz = clock_hz_of(clock)});
  };
  add("cooperative, one block of 128 per SM", [=](cudaStream_t stream) {
    ClockSample* s = sample;
    void* args[] = {&s};
    cooperate(reinterpret_cast<const void*>(cooperative), args, stream);
  });
  add("counter in L2, one block of 128 per SM", [=](cudaStream_t stream) {
    CUDA_CHECK(cudaMemsetAsync(count, 0, sizeof(unsigned), stream));
    unsigned* c = count;
    ClockSample* s = sample;
    void* args[] = {&c, &s};
    cooperate(reinterpret_cast<const void*>(counter), args, stream);
  });
  return rows;
}

}  // namespace kvroof::kernels
