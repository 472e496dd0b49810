// What racecheck makes of three correct ways to hand a word from one warp to another and back.
//   compute-sanitizer --tool racecheck build/<preset>/bin/kvroof_racecheck_hand_over
//
//   bar.arrive and bar.sync   the producer and consumer of the PTX ISA ("bar, barrier")
//   bar.sync on both sides
//   mbarrier                  every thread of the giving side arrives
//
// compute-sanitizer of CUDA 13.0 reports the first (400 WAR errors in 100 rounds: the read before a
// bar.arrive, the write after the bar.sync that waits for it) and neither of the others; all three
// hand over every word. mla_decode_tma.cuh hands P over in the first way.
#include <cuda_runtime.h>

#include <cstdio>

#include "kernels/check.hpp"
#include "kernels/device.hpp"
#include "kernels/hopper/mbarrier.cuh"
#include "kernels/hopper/named_barrier.cuh"

namespace hand_over {

using namespace kvroof::kernels::hopper;

enum class By { arrive_and_sync, sync, mbarrier };
constexpr int kRounds = 100;
enum Barrier { kFull = 1, kUsed };

template <By kBy>
__global__ void pass(int* sums) {
#if __CUDA_ARCH__ >= 900
  __shared__ int word;
  __shared__ Mbarrier full, used;
  if (threadIdx.x == 0) full.init(32), used.init(32);
  __syncthreads();
  const auto tell = [](Barrier named, Mbarrier& counted) {
    if (kBy == By::arrive_and_sync) barrier_arrive(named, 64);
    if (kBy == By::sync) barrier_sync(named, 64);
    if (kBy == By::mbarrier) counted.arrive();
  };
  const auto wait = [](Barrier named, Mbarrier& counted, int round) {
    if (kBy == By::mbarrier) counted.wait(static_cast<unsigned>(round) % 2);
    else barrier_sync(named, 64);
  };
  int sum = 0;
  for (int i = 0; i < kRounds; ++i) {
    if (threadIdx.x < 32) {
      if (i > 0) wait(kUsed, used, i - 1);
      if (threadIdx.x == 0) word = i;
      tell(kFull, full);
    } else {
      wait(kFull, full, i);
      sum += word;
      if (i + 1 < kRounds) tell(kUsed, used);
    }
  }
  if (threadIdx.x >= 32) sums[threadIdx.x - 32] = sum;
#endif
}

template <By kBy>
bool right(const char* name, int* sums) {
  pass<kBy><<<1, 64>>>(sums);
  CUDA_CHECK(cudaGetLastError());
  int host[32], wrong = 0;
  CUDA_CHECK(cudaMemcpy(host, sums, sizeof host, cudaMemcpyDeviceToHost));
  for (const int sum : host) wrong += sum != kRounds * (kRounds - 1) / 2;
  std::printf("%-26s %s\n", name, wrong == 0 ? "right" : "WRONG");
  return wrong == 0;
}

}  // namespace hand_over

int main() {
  using namespace hand_over;
  if (!kvroof::kernels::has_gpu()) {
    std::fprintf(stderr, "no GPU: nothing to run\n");
    return 77;
  }
  int* sums = nullptr;
  CUDA_CHECK(cudaMalloc(&sums, 32 * sizeof(int)));
  const bool all[] = {right<By::arrive_and_sync>("bar.arrive and bar.sync", sums),
                      right<By::sync>("bar.sync on both sides", sums),
                      right<By::mbarrier>("mbarrier", sums)};
  CUDA_CHECK(cudaFree(sums));
  return all[0] && all[1] && all[2] ? 0 : 1;
}
