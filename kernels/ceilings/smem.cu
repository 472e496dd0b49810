// Shared-memory read bandwidth through ordinary loads: 128 bytes per clock and SM.
//                                                                                 entry: smem_read
//
// Each warp reads 512 contiguous bytes per instruction (no bank conflicts, four wavefronts). The
// loads are volatile and their base moves every iteration: identical plain loads would be merged
// into one.
#include "kernels/ceilings/loads.hpp"
#include "kernels/check.hpp"
#include "kernels/hopper/descriptor.cuh"

namespace kvroof::kernels {
namespace {

constexpr int kThreads = 512, kUnroll = 16;
constexpr int kStride = kThreads * 16;            // bytes that the block reads per load
constexpr int kShared = (kUnroll + 1) * kStride;  // 136 KiB: the base moves by one stride

__global__ void __launch_bounds__(kThreads)
    smem_read(int iterations, unsigned* never, ClockSample* clock) {
  extern __shared__ __align__(128) char shared[];
  for (int i = threadIdx.x; i < kShared / 4; i += kThreads)
    reinterpret_cast<unsigned*>(shared)[i] = static_cast<unsigned>(i) * 0x9e3779b9u;
  __syncthreads();
  const Stopwatch watch = Stopwatch::start();
  const unsigned base = hopper::shared_address(shared) + threadIdx.x * 16;
  unsigned seen = 0;
  for (int i = 0; i < iterations; ++i) {
    const unsigned at = base + static_cast<unsigned>(i & 1) * kStride;
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      uint4 v;
      asm volatile("ld.volatile.shared.v4.u32 {%0,%1,%2,%3}, [%4];"
                   : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                   : "r"(at + u * kStride));
      seen ^= v.x ^ v.y;
      seen ^= v.z ^ v.w;
    }
  }
  watch.stop(clock);
  if (seen == 0x12345677u) *never = seen;
}

}  // namespace

Load smem_load(const Args& args) {
  const auto iterations = static_cast<int>(arg(args, "iterations", 2000));
  const Buffer never(4), clock = clock_buffer();
  CUDA_CHECK(cudaFuncSetAttribute(smem_read, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  Case c;
  c.name = "LDS.128, " + std::to_string(kThreads) + " threads/SM";
  c.op = {.name = "smem read", .op_class = OpClass::elementwise, .math = MathType::fp32};
  c.op.work.smem = Bytes{static_cast<double>(gpu().num_sms) * iterations * kUnroll * kStride};
  c.op.work.ctas = gpu().num_sms;
  c.op.work.launches = 1;
  c.launch = [=](cudaStream_t stream) {
    smem_read<<<gpu().num_sms, kThreads, kShared, stream>>>(iterations, never.as<unsigned>(),
                                                            clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
  };
  return {std::move(c), clock};
}

Entry smem_read_entry() {
  return {"smem_read",
          "Shared-memory loads, 16 bytes per thread",
          {{{"iterations", 2000}}},
          [](const Args& a) { return smem_load(a).kernel; }};
}

}  // namespace kvroof::kernels
