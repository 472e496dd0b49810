// FP32 rate: chains of fused multiply-adds, nothing else.                          entry: fp32_fma
//
// 512 FMAs per loop iteration, so that counter and branch cost half a percent of the issue slots;
// 16 independent chains per thread cover the latency of four cycles.
#include "kernels/ceilings/loads.hpp"
#include "kernels/check.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kThreads = 1024, kChains = 16, kRounds = 32;

__global__ void __launch_bounds__(kThreads)
    fp32_fma(int iterations, float addend, float* never, ClockSample* clock) {
  const Stopwatch watch = Stopwatch::start();
  float x[kChains];
#pragma unroll
  for (int c = 0; c < kChains; ++c) x[c] = static_cast<float>(threadIdx.x + c);
#pragma unroll 1
  for (int i = 0; i < iterations; ++i) {
#pragma unroll
    for (int r = 0; r < kRounds; ++r)
#pragma unroll
      for (int c = 0; c < kChains; ++c)
        asm volatile("fma.rn.f32 %0, %0, 0f3F7FBE77, %1;"
                     : "+f"(x[c])
                     : "f"(addend));  // x·0.999 + addend
  }
  watch.stop(clock);
  float sum = 0;
#pragma unroll
  for (int c = 0; c < kChains; ++c) sum += x[c];
  if (sum == 12345.678f) *never = sum;
}

}  // namespace

Load fma_load(const Args& args) {
  const auto iterations = static_cast<int>(arg(args, "iterations", 1000));
  const Buffer never(4), clock = clock_buffer();
  const int blocks = gpu().num_sms;
  Case c;
  c.name = "FFMA, 1024 threads/SM";
  c.op = {.name = "fp32 fma", .op_class = OpClass::elementwise, .math = MathType::fp32};
  c.op.work.fp32 = Flops{2.0 * blocks * kThreads * kChains * kRounds * iterations};
  c.op.work.ctas = blocks;
  c.op.work.launches = 1;
  c.launch = [=](cudaStream_t stream) {
    fp32_fma<<<blocks, kThreads, 0, stream>>>(iterations, 0.5f, never.as<float>(),
                                              clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
  };
  return {std::move(c), clock};
}

Entry fp32_fma_entry() {
  return {"fp32_fma", "FP32 fused multiply-adds", {{{"iterations", 1000}}}, [](const Args& a) {
            return fma_load(a).kernel;
          }};
}

}  // namespace kvroof::kernels
