// Which pipes of an SM get in each other's way: one warpgroup runs wgmma back to back while others
// run one kind of instruction. Prints CSV: what wgmma keeps of its peak, what the others reach.
//   build/<preset>/bin/kvroof_pipe_pairs > pipe_pairs.csv
// model/attention/pipes.hpp takes kExpUnderMma and kFmaDisplaces from it.
#include <cuda_runtime.h>

#include <cstdio>

#include "kernels/check.hpp"
#include "kernels/device.hpp"
#include "kernels/hopper/registers.cuh"
#include "kernels/hopper/wgmma.cuh"

namespace {

using namespace kvroof::kernels;
using namespace kvroof::kernels::hopper;

enum class Mma { none, e4m3_ss, e4m3_rs, bf16_ss, bf16_rs };  // m64n128, B in shared memory
enum class Alu { none, ex2, ffma, fadd, max, mix };           // mix: FFMA, EX2, FADD, as in softmax

constexpr int kBatch = 16, kAluRounds = 4000, kMmaRounds = 2000, kIndependent = 16, kUnroll = 4;
__device__ long long measured[3];  // cycles of the mma warpgroup, its batches, cycles of the others
__device__ float never[1024];

__device__ __forceinline__ float ex2(float x) {
  float y;
  asm volatile("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

template <Mma kMma>
__device__ __forceinline__ void products(float (&d)[64], const std::uint32_t (&a)[4], Descriptor q,
                                         Descriptor b) {
  using E4m3 = __nv_fp8_e4m3;
  using Bf16 = __nv_bfloat16;
  using Multiply = wgmma::Mma<128>;
  wgmma::fence();
#pragma unroll
  for (int i = 0; i < kBatch; ++i) {
    const int step = i % 4 * 32;
    if constexpr (kMma == Mma::e4m3_ss)
      Multiply::ss<E4m3, wgmma::Major::k>(d, q + step, b + step, true);
    if constexpr (kMma == Mma::e4m3_rs) Multiply::rs<E4m3, wgmma::Major::k>(d, a, b + step, true);
    if constexpr (kMma == Mma::bf16_ss)
      Multiply::ss<Bf16, wgmma::Major::k>(d, q + step, b + step, true);
    if constexpr (kMma == Mma::bf16_rs)
      Multiply::rs<Bf16, wgmma::Major::mn>(d, a, b + i % 4 * 2048, true);
  }
  wgmma::commit();
  wgmma::wait<0>();
}

template <Alu kAlu>
__device__ __forceinline__ void instructions(float (&x)[kIndependent], float c) {
#pragma unroll
  for (int r = 0; r < kUnroll; ++r)
#pragma unroll
    for (float& v : x) {
      if constexpr (kAlu == Alu::ex2) v = ex2(v);
      if constexpr (kAlu == Alu::ffma)
        asm volatile("fma.rn.f32 %0, %0, %1, %0;" : "+f"(v) : "f"(c));
      if constexpr (kAlu == Alu::fadd) asm volatile("add.f32 %0, %0, %1;" : "+f"(v) : "f"(c));
      if constexpr (kAlu == Alu::max) asm volatile("max.f32 %0, %0, %1;" : "+f"(v) : "f"(c));
      if constexpr (kAlu == Alu::mix) v += ex2(fmaf(v, c, c));
    }
}

/// Warpgroup 0 multiplies until the others are done (all its warps see the same answer), or a fixed
/// number of times where there are none.
template <Mma kMma, Alu kAlu, int kOthers>
__global__ void __launch_bounds__(128 * (kOthers + 1), 1) pair(float c) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) std::uint8_t raw[];
  __shared__ volatile int done;
  if (threadIdx.x == 0) done = 0;
  for (unsigned i = threadIdx.x; i < 16384; i += blockDim.x)
    reinterpret_cast<std::uint32_t*>(raw)[i] = 0x31323334u + i * 2654435761u % 7;
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  const bool first = threadIdx.x % 128 == 0 && blockIdx.x == 0;
  float sum = 0;
  if (warpgroup_index() == 0) {
    float d[64] = {};
    const std::uint32_t a[4] = {0x31323334, 0x31303334, 0x31383334, 0x31323335};
    const Descriptor q = k_major(raw);
    const Descriptor b = kMma == Mma::bf16_rs ? mn_major(raw + 16384, 64) : k_major(raw + 16384);
    const long long begin = clock64();
    long long batches = 0;
    if constexpr (kMma != Mma::none)
      for (int stop = 0; !stop; ++batches) {
        products<kMma>(d, a, q, b);
        const int mine = kAlu == Alu::none ? batches + 1 == kMmaRounds : done;
        asm volatile(
            "{\n.reg .pred p, q;\nsetp.ne.s32 p, %1, 0;\n"
            "barrier.cta.red.or.pred.aligned q, 1, 128, p;\nselp.s32 %0, 1, 0, q;\n}"
            : "=r"(stop)
            : "r"(mine)
            : "memory");
      }
    if (first) measured[0] = clock64() - begin, measured[1] = batches;
    for (const float v : d) sum += v;
  } else {
    float x[kIndependent];
    for (int i = 0; i < kIndependent; ++i) x[i] = -0.01f * static_cast<float>(threadIdx.x + i);
    const long long begin = clock64();
    if constexpr (kAlu != Alu::none)
      for (int i = 0; i < kAluRounds; ++i) instructions<kAlu>(x, c);
    if (first) measured[2] = clock64() - begin;
    done = 1;
    for (const float v : x) sum += v;
  }
  if (sum == 12345.f) never[threadIdx.x] = sum;  // keeps the work
#endif
}

template <Mma kMma, Alu kAlu, int kOthers>
void row(const char* mma, const char* alu) {
  constexpr int kBytes = 65536;
  const auto f = pair<kMma, kAlu, kOthers>;
  CUDA_CHECK(cudaFuncSetAttribute(f, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  long long m[3] = {};
  for (int i = 0; i < 2; ++i) {  // the first run warms up
    f<<<gpu().num_sms, 128 * (kOthers + 1), kBytes>>>(0.5f);
    CUDA_CHECK(cudaGetLastError());
    CUDA_CHECK(cudaDeviceSynchronize());
  }
  CUDA_CHECK(cudaMemcpyFromSymbol(m, measured, sizeof m));
  constexpr double kCyclesPerProduct = 64;  // m64n128 at full rate, either format
  const double share = kMma == Mma::none ? 0 : kBatch * kCyclesPerProduct * m[1] / m[0];
  const double lanes =
      kAlu == Alu::none ? 0 : 128. * kOthers * kIndependent * kUnroll * kAluRounds / m[2];
  std::printf("%s,%s,%d,%.3f,%.1f\n", mma, alu, kOthers, share, lanes);
}

template <Alu kAlu, int kOthers>
void rows(const char* alu) {
  row<Mma::none, kAlu, kOthers>("none", alu);
  row<Mma::e4m3_ss, kAlu, kOthers>("e4m3 ss", alu);
  row<Mma::e4m3_rs, kAlu, kOthers>("e4m3 rs", alu);
  row<Mma::bf16_ss, kAlu, kOthers>("bf16 ss", alu);
  row<Mma::bf16_rs, kAlu, kOthers>("bf16 rs", alu);
}

}  // namespace

int main() {
  if (!has_gpu()) {
    std::fprintf(stderr, "no GPU: nothing to measure\n");
    return 77;
  }
  std::printf("mma,beside,warpgroups_beside,mma_share_of_peak,lanes_per_clock_and_sm\n");
  rows<Alu::none, 1>("none");
  rows<Alu::ex2, 2>("ex2");
  rows<Alu::ffma, 1>("ffma");
  rows<Alu::ffma, 2>("ffma");
  rows<Alu::fadd, 2>("fadd");
  rows<Alu::max, 2>("max");
  rows<Alu::mix, 2>("ffma+ex2+fadd");
}
