// Tensor peak through mma.sync (the instruction of sm_80 … sm_120; 2/3 of wgmma's rate on Hopper):
// operands and accumulators in registers, random data.                     entry: mma_sync_peak
//
// Each warp multiplies two A by four B fragments: eight independent accumulators, 16 warps per SM.
//   args  type  0 bf16 m16n8k16, 1 fp16 m16n8k16, 2 tf32 m16n8k8, 3 fp8 m16n8k32 (sm_89 and newer),
//               4 int8 m16n8k32; every instruction covers 32 bytes of k
#include <bit>

#include "kernels/ceilings/loads.hpp"
#include "kernels/ceilings/tensor_types.hpp"
#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/reference.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kThreads = 512, kA = 2, kB = 4;
constexpr int kWordsOfA = 4, kWordsOfB = 2;  // 32-bit registers per thread and fragment
constexpr int kRounds = 4;                   // of kA·kB instructions per loop iteration

template <int kType>
__device__ __forceinline__ void mma(std::uint32_t (&d)[4], const std::uint32_t (&a)[kWordsOfA],
                                    const std::uint32_t (&b)[kWordsOfB]) {
#define KVROOF_MMA(shape)                                                                         \
  asm volatile("mma.sync.aligned." shape " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])                                   \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
  if constexpr (kType == 0) KVROOF_MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
  if constexpr (kType == 1) KVROOF_MMA("m16n8k16.row.col.f32.f16.f16.f32");
  if constexpr (kType == 2) KVROOF_MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
#if __CUDA_ARCH__ >= 890
  if constexpr (kType == 3) KVROOF_MMA("m16n8k32.row.col.f32.e4m3.e4m3.f32");
#endif
  if constexpr (kType == 4) KVROOF_MMA("m16n8k32.row.col.s32.s8.s8.s32");
#undef KVROOF_MMA
}

/// operands: kA A fragments, then kB B fragments, [word][lane]; the same for every warp.
template <int kType>
__global__ void __launch_bounds__(kThreads, 1)
    mma_sync_peak(const std::uint32_t* operands, int iterations, std::uint32_t* out,
                  ClockSample* clock) {
  const unsigned lane = threadIdx.x % 32;
  std::uint32_t a[kA][kWordsOfA], b[kB][kWordsOfB], d[kA][kB][4] = {};
#pragma unroll
  for (int i = 0; i < kA; ++i)
#pragma unroll
    for (int w = 0; w < kWordsOfA; ++w) a[i][w] = operands[(i * kWordsOfA + w) * 32 + lane];
#pragma unroll
  for (int j = 0; j < kB; ++j)
#pragma unroll
    for (int w = 0; w < kWordsOfB; ++w)
      b[j][w] = operands[(kA * kWordsOfA + j * kWordsOfB + w) * 32 + lane];

  const Stopwatch watch = Stopwatch::start();
#pragma unroll 1
  for (int i = 0; i < iterations; ++i)
#pragma unroll
    for (int r = 0; r < kRounds; ++r)
#pragma unroll
      for (int x = 0; x < kA; ++x)
#pragma unroll
        for (int y = 0; y < kB; ++y) mma<kType>(d[x][y], a[x], b[y]);
  watch.stop(clock);
  if (blockIdx.x == 0 && threadIdx.x < 32)
#pragma unroll
    for (int x = 0; x < kA; ++x)
#pragma unroll
      for (int y = 0; y < kB; ++y)
#pragma unroll
        for (int w = 0; w < 4; ++w) out[((x * kB + y) * 4 + w) * 32 + lane] = d[x][y][w];
  else if (d[0][0][0] == 0x12345679u && d[1][3][3] == 0x12345679u)
    *out = 0;  // keeps the other warps' accumulators alive
}

/// One fragment as a [rows, k] matrix. Word w of lane l: row l/4 (+ 8 for odd w of A), the 4 bytes
/// of k at 4·(l mod 4) (+ 16 for the upper half of the words).
/// PTX ISA, "Matrix fragments for m16n8k…".
std::vector<float> matrix(const float* fragment, int rows, int bytes, bool tf32) {
  const int k = 32 / bytes, per_word = 4 / bytes;
  std::vector<float> m(static_cast<std::size_t>(rows * k));
  const int words = rows == 16 ? 4 : 2;
  for (int w = 0; w < words; ++w)
    for (int lane = 0; lane < 32; ++lane)
      for (int e = 0; e < per_word; ++e) {
        const int row = lane / 4 + (rows == 16 ? w % 2 * 8 : 0);
        const int upper = rows == 16 ? w / 2 : w;
        float x = fragment[(w * 32 + lane) * per_word + e];
        if (tf32) x = as_tf32(x);
        m[static_cast<std::size_t>(row * k + (lane % 4 + upper * 4) * per_word + e)] = x;
      }
  return m;
}

}  // namespace

Load mma_sync_load(const Args& args) {
  const int t = tensor_type_of(args, "mma_sync_peak");
  if (t == kFp8 && gpu().major * 10 + gpu().minor < 89)
    throw NotOnThisGpu("mma_sync_peak: fp8 needs compute capability 8.9 or newer");
  const TensorType& type = kTensorTypes[t];
  const auto iterations = static_cast<int>(arg(args, "iterations", 1000));
  constexpr void (*kernels[])(const std::uint32_t*, int, std::uint32_t*, ClockSample*) = {
      mma_sync_peak<0>, mma_sync_peak<1>, mma_sync_peak<2>, mma_sync_peak<3>, mma_sync_peak<4>};
  const auto run = kernels[t];

  const Buffer operands((kA * kWordsOfA + kB * kWordsOfB) * 32 * 4), out(kA * kB * 4 * 32 * 4);
  const Buffer clock = clock_buffer();
  fill_random(operands, type.dtype);
  Case c;
  c.name = std::string(type.name) + " m16n8";
  c.op = {.name = "mma.sync",
          .op_class = OpClass::gemm,
          .math = type.math,
          .execution = {.mma_sync = true}};
  const double instructions =
      1.0 * gpu().num_sms * (kThreads / 32) * iterations * kRounds * kA * kB;
  c.op.work.flops = c.op.work.flops_executed = Flops{instructions * 2 * 16 * 8 * (32 / type.bytes)};
  c.op.work.ctas = gpu().num_sms;
  c.op.work.launches = 1;
  const auto launch = [=](int count, cudaStream_t stream) {
    run<<<gpu().num_sms, kThreads, 0, stream>>>(operands.as<std::uint32_t>(), count,
                                                out.as<std::uint32_t>(), clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
  };
  c.launch = [=](cudaStream_t stream) { launch(iterations, stream); };
  c.verify = [=] {
    poison(out);
    launch(1, nullptr);
    const std::vector<float> stored = to_floats(operands, type.dtype);
    const int per_word = 4 / type.bytes, k = 32 / type.bytes;
    const bool tf32 = type.dtype == Dtype::tf32, integer = type.dtype == Dtype::int8;
    const auto words = to_host<std::uint32_t>(out);
    std::vector<double> expected;
    std::vector<float> got;
    for (int x = 0; x < kA; ++x) {
      for (int y = 0; y < kB; ++y) {
        const auto a = matrix(&stored[x * kWordsOfA * 32 * per_word], 16, type.bytes, tf32);
        const auto b =
            matrix(&stored[(kA * kWordsOfA + y * kWordsOfB) * 32 * per_word], 8, type.bytes, tf32);
        const auto d = reference::gemm(a, b, 16, 8, k, kRounds);
        for (int w = 0; w < 4; ++w) {
          for (int lane = 0; lane < 32; ++lane) {
            const int row = lane / 4 + w / 2 * 8, column = lane % 4 * 2 + w % 2;
            expected.push_back(d[row * 8 + column]);
            const std::uint32_t bits = words[((x * kB + y) * 4 + w) * 32 + lane];
            got.push_back(integer ? static_cast<float>(static_cast<std::int32_t>(bits))
                                  : std::bit_cast<float>(bits));
          }
        }
      }
    }
    return compare(expected, got, type.dtype == Dtype::fp8 ? 1e-3 : 1e-5);
  };
  return {std::move(c), clock};
}

Entry mma_sync_peak_entry() {
  Entry e{"mma_sync_peak",
          "Tensor peak through mma.sync, operands in registers",
          {},
          [](const Args& a) { return mma_sync_load(a).kernel; }};
  for (int t = 0; t < kNumTensorTypes; ++t) e.shapes.push_back({{"type", t}});
  return e;
}

}  // namespace kvroof::kernels
