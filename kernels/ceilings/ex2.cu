// Exponentials: ex2.approx on the MUFU (XU) pipe, 16 lanes per clock and SM on sm_80 … sm_100.
//                                                                                       entry: ex2
#include "kernels/ceilings/loads.hpp"
#include "kernels/check.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kThreads = 1024, kChains = 8, kRounds = 16;

__global__ void __launch_bounds__(kThreads) ex2(int iterations, float* never, ClockSample* clock) {
  const Stopwatch watch = Stopwatch::start();
  float x[kChains];
#pragma unroll
  for (int c = 0; c < kChains; ++c) x[c] = -0.01f * static_cast<float>(threadIdx.x + c);
#pragma unroll 1
  for (int i = 0; i < iterations; ++i) {
#pragma unroll
    for (int r = 0; r < kRounds; ++r)
#pragma unroll
      for (int c = 0; c < kChains; ++c) asm volatile("ex2.approx.ftz.f32 %0, %0;" : "+f"(x[c]));
  }
  watch.stop(clock);
  float sum = 0;
#pragma unroll
  for (int c = 0; c < kChains; ++c) sum += x[c];
  if (sum == 12345.678f) *never = sum;
}

}  // namespace

Load ex2_load(const Args& args) {
  const auto iterations = static_cast<int>(arg(args, "iterations", 500));
  const Buffer never(4), clock = clock_buffer();
  const int blocks = gpu().num_sms;
  Case c;
  c.name = "MUFU.EX2, 1024 threads/SM";
  c.op = {.name = "ex2", .op_class = OpClass::elementwise, .math = MathType::fp32};
  c.op.work.exps = 1.0 * blocks * kThreads * kChains * kRounds * iterations;
  c.op.work.ctas = blocks;
  c.op.work.launches = 1;
  c.launch = [=](cudaStream_t stream) {
    ex2<<<blocks, kThreads, 0, stream>>>(iterations, never.as<float>(), clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
  };
  return {std::move(c), clock};
}

Entry ex2_entry() {
  return {"ex2", "Exponentials on the MUFU pipe", {{{"iterations", 500}}}, [](const Args& a) {
            return ex2_load(a).kernel;
          }};
}

}  // namespace kvroof::kernels
