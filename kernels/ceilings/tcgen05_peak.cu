// Tensor peak through tcgen05: D [128, 256] += A [128, k] · B [256, k]^T, both operands in shared
// memory, D in tensor memory, random data.                                   entry: tcgen05_peak
//
// NEVER RUN: compiled for sm_100a, with no such GPU at hand. Its first product is therefore held
// against the CPU before any rate is reported (rates.cpp), and a wait of two seconds traps.
//
// One block per SM; one thread issues. Operands are two 128-byte wide blocks of k, 128-byte
// swizzled: eight instructions with different data. Two commits are in flight: the next eight are
// issued while the last eight run.
//   args  type  0 bf16, 1 fp16, 3 fp8 (E4M3): the numbers of wgmma_peak
//         zeros 1: operands of zeros, which cost the least power
// At 8192 FLOP per clock and SM (bf16; arXiv:2603.05451, section 2.2) an instruction of
// 128·256·32 bytes of k takes 128 cycles for every type.
// PTX ISA 9.1, 9.7.16 "TensorCore 5th generation instructions".
#include <stdexcept>

#include "kernels/blackwell/device.hpp"
#include "kernels/blackwell/mma.cuh"
#include "kernels/blackwell/synchronise.cuh"
#include "kernels/blackwell/tensor_memory.cuh"
#include "kernels/ceilings/loads.hpp"
#include "kernels/ceilings/swizzled.hpp"
#include "kernels/ceilings/tensor_types.hpp"
#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/reference.hpp"

namespace kvroof::kernels {
namespace {

using namespace blackwell;

constexpr int kRows = 128, kColumns = 256;
constexpr int kBlocksOfK = 2, kBlockBytes = 128;  // of one row
constexpr int kStepBytes = 32;                    // k of one instruction
constexpr int kStepsPerIteration = kBlocksOfK * kBlockBytes / kStepBytes;
constexpr int kRowBytes = kBlocksOfK * kBlockBytes;
constexpr int kThreads = 128;  // four warps, to read D

/// A [kBlocksOfK][128][128 bytes], then B [kBlocksOfK][256][128 bytes].
struct Shared {
  alignas(1024) char a[kRows * kRowBytes];
  char b[kColumns * kRowBytes];
  hopper::Mbarrier done[2];
  std::uint32_t tensor_memory;
};
constexpr std::size_t kOperandBytes = offsetof(Shared, done);
/// More than half of what an SM has: a second block there would wait for tensor memory.
constexpr int kSharedBytes = 120 * 1024;
static_assert(sizeof(Shared) <= kSharedBytes);

template <mma::Kind kKind, Format kFormat>
__global__ void __launch_bounds__(kThreads, 1)
    tcgen05_peak(const uint4* operands, int iterations, float* out, ClockSample* clock) {
  extern __shared__ __align__(1024) char raw[];
  auto& shared = *reinterpret_cast<Shared*>(raw);
  if (hopper::shared_address(raw) % 1024 != 0) __trap();  // swizzled tiles need it
  const int warp = __shfl_sync(0xFFFFFFFF, static_cast<int>(threadIdx.x) / 32, 0);
  if (warp == 1) allocate_all(&shared.tensor_memory);
  for (unsigned i = threadIdx.x; i < kOperandBytes / 16; i += blockDim.x)
    reinterpret_cast<uint4*>(raw)[i] = operands[i];
  if (threadIdx.x == 0) {
    shared.done[0].init(1), shared.done[1].init(1);
    hopper::fence_barrier_init();
  }
  hopper::fence_proxy_async();
  fence_before();
  __syncthreads();
  fence_after();
  const TensorAddress d{shared.tensor_memory};

  const Stopwatch watch = Stopwatch::start();
  if (warp == 0 && elected()) {
    constexpr std::uint32_t kInstruction =
        instruction_descriptor({.m = kRows, .n = kColumns, .format = kFormat});
    const SharedDescriptor a = k_major(hopper::shared_address(shared.a)),
                           b = k_major(hopper::shared_address(shared.b));
    for (int i = 0; i < iterations; ++i) {
      if (i > 1) wait_bounded(shared.done[i % 2], static_cast<std::uint32_t>(i / 2 - 1) % 2);
#pragma unroll
      for (int step = 0; step < kStepsPerIteration; ++step) {
        const int block = step * kStepBytes / kBlockBytes, in_row = step * kStepBytes % kBlockBytes;
        mma::ss<kKind>(d, a + (block * kRows * kBlockBytes + in_row),
                       b + (block * kColumns * kBlockBytes + in_row), kInstruction,
                       i > 0 || step > 0);
      }
      commit(shared.done[i % 2]);
    }
  }
  __syncwarp();
  if (warp == 0)  // it alone knows which phases have passed; the others follow at the next barrier
    for (int last = ::max(0, iterations - 2); last < iterations; ++last)
      wait_bounded(shared.done[last % 2], static_cast<std::uint32_t>(last / 2) % 2);
  fence_before();
  watch.stop(clock);
  fence_after();
  if (blockIdx.x == 0) {
    const TensorAddress mine = d.lanes(32 * warp);
#pragma unroll 1
    for (int column = 0; column < kColumns; column += 32) {
      float x[32];
      load_columns(x, mine.columns(column));
#pragma unroll
      for (int i = 0; i < 32; ++i) out[threadIdx.x * kColumns + column + i] = x[i];
    }
    wait_loads();
  }
  fence_before();
  __syncthreads();
  if (warp == 1) free_all(d);
}

struct Type {
  const char* name;
  Dtype dtype;
  MathType math;
  int bytes;
  void (*kernel)(const uint4*, int, float*, ClockSample*);
};
Type type_of(int t) {
  using mma::Kind;
  if (t == kBf16)
    return {"bf16 m128n256k16", Dtype::bf16, MathType::bf16, 2,
            tcgen05_peak<Kind::f16, Format::bf16>};
  if (t == kFp16)
    return {"fp16 m128n256k16", Dtype::fp16, MathType::fp16, 2,
            tcgen05_peak<Kind::f16, Format::fp16>};
  if (t == kFp8)
    return {"fp8 m128n256k32", Dtype::fp8, MathType::fp8, 1,
            tcgen05_peak<Kind::f8f6f4, Format::e4m3>};
  throw std::invalid_argument("tcgen05_peak: type is 0 (bf16), 1 (fp16) or 3 (fp8)");
}

}  // namespace

Load tcgen05_load(const Args& args) {
  require_sm100a("tcgen05_peak");
  const Type type = type_of(tensor_type_of(args, "tcgen05_peak"));
  const auto iterations = static_cast<int>(arg(args, "iterations", 4000));
  const bool zeros = arg(args, "zeros", 0) != 0;
  CUDA_CHECK(
      cudaFuncSetAttribute(type.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));

  const Buffer operands(kOperandBytes), clock = clock_buffer();
  const Buffer out(std::size_t{kRows} * kColumns * sizeof(float));
  if (zeros) CUDA_CHECK(cudaMemset(operands.as(), 0, operands.bytes()));
  else fill_random(operands, type.dtype);

  const double instructions = 1.0 * gpu().num_sms * iterations * kStepsPerIteration;
  Case c;
  c.name = std::string(type.name) + (zeros ? ", zeros" : "") + ", " + kNeverRun + " before";
  c.op = {.name = "tcgen05", .op_class = OpClass::gemm, .math = type.math};
  c.op.work.flops = c.op.work.flops_executed =
      Flops{instructions * 2 * kRows * kColumns * (kStepBytes / type.bytes)};
  c.op.work.smem = Bytes{instructions * (kRows + kColumns) * kStepBytes};
  c.op.work.ctas = gpu().num_sms;
  c.op.work.launches = 1;
  const auto launch = [=](int count, cudaStream_t stream) {
    type.kernel<<<gpu().num_sms, kThreads, kSharedBytes, stream>>>(
        operands.as<uint4>(), count, out.as<float>(), clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
  };
  c.launch = [=](cudaStream_t stream) { launch(iterations, stream); };
  c.verify = [=] {
    constexpr int kRepeats = 3;
    poison(out);
    launch(kRepeats, nullptr);
    CUDA_CHECK(cudaDeviceSynchronize());
    const std::vector<float> stored = to_floats(operands, type.dtype);
    const std::ptrdiff_t k = kRowBytes / type.bytes;
    const auto middle = stored.begin() + kRows * k;
    const std::vector<float> a = without_swizzle({stored.begin(), middle}, kRows, type.bytes),
                             b = without_swizzle({middle, stored.end()}, kColumns, type.bytes);
    // fp32 (fp8: possibly fewer bits, as on Hopper) accumulation of 24 steps
    return compare(reference::gemm(a, b, kRows, kColumns, k, kRepeats), to_host<float>(out),
                   type.dtype == Dtype::fp8 ? 1e-3 : 1e-5);
  };
  return {std::move(c), clock};
}

Entry tcgen05_peak_entry() {
  return {.name = "tcgen05_peak",
          .title = std::string("Tensor peak through tcgen05, B200 (") + kNeverRun + ")",
          .shapes = {{{"type", 0}}, {{"type", 1}}, {{"type", 3}}},
          .make = [](const Args& a) { return tcgen05_load(a).kernel; }};
}

}  // namespace kvroof::kernels
