// Tensor peak through wgmma: D [64, N] += A [64, k] · B [N, k]^T, both operands in shared memory,
// random data.                                                                   entry: wgmma_peak
//
// One block per SM, two warpgroups with an accumulator each, so that one issues while the other
// waits. Operands are two 128-byte wide blocks of k, 128-byte swizzled: eight instructions with
// different data.
//   args  type  0 bf16, 1 fp16, 2 tf32, 3 fp8 (E4M3), 4 int8
//         n     256: tensor bound (80 of 128 cycles of shared memory); bf16 also 64 (32 of 32) and
//               32 (24 of 16), which makes it the probe of shared memory as operand feed
//         zeros 1: operands of zeros, which cost the least power
//         sms   SMs at work, one block each (all)
// With N = 256 an instruction of 64·256·32 bytes of k takes 128 cycles for every type.
// PTX ISA, "Asynchronous warpgroup level matrix instructions".
#include <algorithm>

#include "kernels/ceilings/loads.hpp"
#include "kernels/ceilings/swizzled.hpp"
#include "kernels/ceilings/tensor_types.hpp"
#include "kernels/ceilings/wgmma_types.cuh"
#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/hopper/mbarrier.cuh"
#include "kernels/reference.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kWarpgroups = 2;
constexpr int kBlocksOfK = 2, kBlockBytes = 128;  // of one row
constexpr int kStepBytes = 32;                    // k of one instruction
constexpr int kStepsPerIteration = kBlocksOfK * kBlockBytes / kStepBytes;
constexpr int kRowBytes = kBlocksOfK * kBlockBytes;

/// Bytes of shared memory: A of each warpgroup [kBlocksOfK][64][128], then B [kBlocksOfK][n][128].
__host__ __device__ constexpr int operand_bytes(int n) {
  return (kWarpgroups * 64 + n) * kRowBytes;
}

template <int kType, int kN>
__global__ void __launch_bounds__(kWarpgroups * 128, 1)
    wgmma_peak(const uint4* operands, int iterations, float* out, ClockSample* clock) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char shared[];
  for (int i = threadIdx.x; i < operand_bytes(kN) / 16; i += blockDim.x)
    reinterpret_cast<uint4*>(shared)[i] = operands[i];
  hopper::fence_proxy_async();
  __syncthreads();

  const Stopwatch watch = Stopwatch::start();
  const int warpgroup = __shfl_sync(0xffffffff, static_cast<int>(threadIdx.x) / 128, 0);
  const hopper::Descriptor a = hopper::k_major(shared + warpgroup * 64 * kRowBytes);
  const hopper::Descriptor b = hopper::k_major(shared + kWarpgroups * 64 * kRowBytes);
  Accumulator<kType, kN> d;
  d.clear();
#pragma unroll 1
  for (int i = 0; i < iterations; ++i) {
    wgmma_fence();
#pragma unroll
    for (int block = 0; block < kBlocksOfK; ++block)
#pragma unroll
      for (int step = 0; step < kBlockBytes; step += kStepBytes)
        d.multiply_add((a + (block * 64 * kBlockBytes + step)).bits,
                       (b + (block * kN * kBlockBytes + step)).bits);
    wgmma_commit();
    wgmma_wait<1>();
  }
  wgmma_wait<0>();
  d.settle();
  watch.stop(clock);
  if (blockIdx.x == 0) d.store(out + warpgroup * 64 * kN);
#endif
}

using Kernel = void (*)(const uint4*, int, float*, ClockSample*);
Kernel kernel(int type, int n) {
  if (n == 256) {
    constexpr Kernel wide[] = {wgmma_peak<0, 256>, wgmma_peak<1, 256>, wgmma_peak<2, 256>,
                               wgmma_peak<3, 256>, wgmma_peak<4, 256>};
    return wide[type];
  }
  if (type == kBf16 && n == 64) return wgmma_peak<0, 64>;
  if (type == kBf16 && n == 32) return wgmma_peak<0, 32>;
  throw std::invalid_argument("wgmma_peak: n is 256, or 64 or 32 with type 0 (bf16)");
}

}  // namespace

Load wgmma_load(const Args& args) {
  require_sm90a("wgmma_peak");
  const int t = tensor_type_of(args, "wgmma_peak");
  const TensorType& type = kTensorTypes[t];
  const auto n = static_cast<int>(arg(args, "n", 256));
  const auto iterations = static_cast<int>(arg(args, "iterations", 2000 * 256 / n));
  const Kernel run = kernel(t, n);
  const int shared = operand_bytes(n);
  CUDA_CHECK(cudaFuncSetAttribute(run, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));

  const Buffer operands(static_cast<std::size_t>(shared)), clock = clock_buffer();
  const Buffer out(static_cast<std::size_t>(kWarpgroups * 64 * n) * sizeof(float));
  const bool zeros = arg(args, "zeros", 0) != 0;
  if (zeros) CUDA_CHECK(cudaMemset(operands.as(), 0, operands.bytes()));
  else fill_random(operands, type.dtype);

  const auto blocks = static_cast<int>(arg(args, "sms", gpu().num_sms));
  const double instructions = 1.0 * blocks * kWarpgroups * iterations * kStepsPerIteration;
  Case c;
  c.name = std::string(type.name) + " m64n" + std::to_string(n) + (zeros ? ", zeros" : "");
  c.op = {.name = "wgmma", .op_class = OpClass::gemm, .math = type.math};
  c.op.work.flops = c.op.work.flops_executed =
      Flops{instructions * 2 * 64 * n * (kStepBytes / type.bytes)};
  c.op.work.smem = Bytes{instructions * (64 + n) * kStepBytes};
  c.op.work.ctas = blocks;
  c.op.work.launches = 1;
  const auto launch = [=](int count, cudaStream_t stream) {
    run<<<blocks, kWarpgroups * 128, shared, stream>>>(operands.as<uint4>(), count, out.as<float>(),
                                                       clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
  };
  c.launch = [=](cudaStream_t stream) { launch(iterations, stream); };
  c.verify = [=] {
    constexpr int kRepeats = 3;
    poison(out);
    launch(kRepeats, nullptr);
    const std::vector<float> stored = to_floats(operands, type.dtype);
    const int k = kRowBytes / type.bytes;
    const auto part = [&](int first_row, int rows) {
      const auto from = stored.begin() + first_row * k;
      std::vector<float> x = without_swizzle({from, from + rows * k}, rows, type.bytes);
      if (type.dtype == Dtype::tf32) std::transform(x.begin(), x.end(), x.begin(), as_tf32);
      return x;
    };
    const std::vector<float> b = part(kWarpgroups * 64, n);
    std::vector<double> expected;
    for (int w = 0; w < kWarpgroups; ++w) {
      const auto d = reference::gemm(part(w * 64, 64), b, 64, n, k, kRepeats);
      expected.insert(expected.end(), d.begin(), d.end());
    }
    // fp32 (fp8: about 22-bit) accumulation of 24 steps; int8 is exact
    return compare(expected, to_host<float>(out), type.dtype == Dtype::fp8 ? 1e-3 : 1e-5);
  };
  return {std::move(c), clock};
}

Entry wgmma_peak_entry() {
  Entry e{
      "wgmma_peak", "Tensor peak through wgmma, operands in shared memory", {}, [](const Args& a) {
        return wgmma_load(a).kernel;
      }};
  for (int t = 0; t < kNumTensorTypes; ++t) e.shapes.push_back({{"type", t}, {"n", 256}});
  e.shapes.push_back({{"type", 0}, {"n", 64}});
  e.shapes.push_back({{"type", 0}, {"n", 32}});
  return e;
}

}  // namespace kvroof::kernels
