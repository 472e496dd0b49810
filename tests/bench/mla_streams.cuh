// The instruction streams of mla_streams.cu: scores and output warpgroups as in
// kernels/attention/mla_decode_tma.cuh, without softmax. A Mix says where operands come from and who
// waits for whom.
#pragma once
#include "kernels/hopper/mla/output.cuh"
#include "kernels/hopper/mla/scores.cuh"

namespace mla_streams {

using namespace kvroof::kernels;
using namespace kvroof::kernels::mla;
namespace wgmma = hopper::wgmma;

enum class A { none, registers, shared, wide };  // of a product; wide: m64n128 instead of m64n64
enum class From { nowhere, l2, hbm };
struct Mix {
  A scores = A::none, output = A::none;
  bool chained = false;
  From from = From::nowhere;
};

constexpr int kTiles = 512, kCluster = 2;
struct Out {
  long long cycles, nanoseconds;
};
struct StreamParams {
  CUtensorMap cache[kParts];
  const bf16 *tile, *p;
  Out* out;
};
__device__ float never[1024];

__device__ __forceinline__ long long nanoseconds() {
  long long t;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  return t;
}

template <Mix k>
__device__ __forceinline__ void feed(Smem& smem, const StreamParams& p, int tile) {
  if (tile >= kTiles) return;
  const int cluster = static_cast<int>(blockIdx.x) / kCluster, rank = cluster_rank();
  const int page = k.from == From::l2 ? cluster * 4 + tile % 4 : cluster * kTiles + tile;
  const int stage = tile % kStages;
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    Block& to = smem.tile[stage][part_first(part)];
    smem.full[stage][part].arrive_expect(part_blocks(part) * static_cast<int>(sizeof(Block)));
    if ((part + tile) % kCluster == rank)
      load_tile_to((1 << kCluster) - 1, &to, p.cache[part], smem.full[stage][part], 0, 0, page,
                   part_first(part));
  }
}

template <Mix k>
__device__ __forceinline__ float scores_stream(Smem& smem) {
  constexpr bool kFed = k.from != From::nowhere;
  constexpr int kHeld = k.scores == A::wide ? 16 : k.scores == A::shared ? 1 : 31;
  std::uint32_t q[kHeld][4];
  for (int i = 0; i < kHeld; ++i)
    for (int j = 0; j < 4; ++j)
      q[i][j] =
          reinterpret_cast<const std::uint32_t*>(smem.q)[(threadIdx.x * 4 + j + i * 67) % 2048];
  constexpr int kN = k.scores == A::wide ? 128 : 64;
  float s[kN / 2] = {};
  Ring<kStages> ring;
  for (int tile = 0; tile < kTiles; ++tile) {
    const int stage = uniform(ring.stage);
    auto& latent = smem.tile[stage];
    if (kFed) smem.full[stage][0].wait(ring.parity), smem.full[stage][1].wait(ring.parity);
    wgmma::pin(s);
    wgmma::fence();
#pragma unroll
    for (int i = 0; i < 36 * 64 / kN; ++i) {
      const Descriptor keys = k_major(latent[i / 4]) + i % 4 * 32;
      if (k.scores != A::shared && (i < kHeld || k.scores == A::wide))
        wgmma::Mma<kN>::template rs<bf16, wgmma::Major::k>(s, q[i % kHeld], keys, true);
      else
        wgmma::Mma<kN>::template ss<bf16, wgmma::Major::k>(
            s,
            k_major(k.scores == A::shared ? smem.tile[(stage + 1) % kStages][i / 4] : smem.q) +
                i % 4 * 32,
            keys, true);
    }
    wgmma::commit();
    wgmma::wait<0>();
    wgmma::pin(s);
    if (k.chained) {
      if (tile > 0) barrier_sync(kStepRead, kAll), barrier_arrive(kScoresDone + tile % 2, kAll);
      barrier_arrive(kPFull + tile % 2, kAll);
    }
    if (kFed) release<kCluster>(smem.used[stage], 1);
    ring.advance();
  }
  float sum = 0;
  for (const float x : s) sum += x;
  return sum;
}

template <Mix k>
__device__ __forceinline__ float output_stream(Smem& smem, const StreamParams& p, int part) {
  constexpr bool kFed = k.from != From::nowhere;
  const bool feeds = kFed && part == 0 && threadIdx.x % 128 == 0;
  if (feeds)
    for (int i = 0; i < kStages; ++i) feed<k>(smem, p, i);
  std::uint32_t a[4];  // of one step for all four: there are no registers for more
  for (int j = 0; j < 4; ++j)
    a[j] = reinterpret_cast<const std::uint32_t*>(smem.q)[(threadIdx.x * 4 + j) % 2048];
  float o[128] = {};
  Ring<kStages> ring;
  for (int tile = 0; tile < kTiles; ++tile) {
    const int stage = uniform(ring.stage);
    const Descriptor values = mn_major(&smem.tile[stage][4 * part], kKeys);
    if (kFed) smem.full[stage][0].wait(ring.parity), smem.full[stage][1].wait(ring.parity);
    if (k.chained) {
      barrier_sync(kPFull + tile % 2, kAll);
      if (tile + 1 < kTiles) barrier_arrive(kStepRead, kAll);
      if (tile + 1 < kTiles) barrier_sync(kScoresDone + (tile + 1) % 2, kAll);
    }
    if constexpr (k.output == A::registers) {
      wgmma::pin(o);
      wgmma::fence();
#pragma unroll
      for (int i = 0; i < 4; ++i)
        wgmma::Mma<256>::template rs<bf16, wgmma::Major::mn>(o, a, values + i * 2048, true);
      wgmma::commit();
    } else {
      issue_output<256>(o, k_major(smem.q), values, false);
    }
    wgmma::wait<0>();
    wgmma::pin(o);
    if (kFed) {
      release<kCluster>(smem.used[stage], 1);
      if (feeds) smem.used[stage].wait(ring.parity), feed<k>(smem, p, tile + kStages);
    }
    ring.advance();
  }
  float sum = 0;
  for (const float x : o) sum += x;
  return sum;
}

template <A kScores, A kOutput, bool kChained, From kFrom>
__global__ void __launch_bounds__(kThreads, 1) stream(const __grid_constant__ StreamParams p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr Mix k{kScores, kOutput, kChained, kFrom};
  extern __shared__ __align__(1024) std::uint8_t raw[];
  auto& smem = *reinterpret_cast<Smem*>(raw);
  auto* words = reinterpret_cast<std::uint32_t*>(&smem.tile);
  constexpr int kTileWords = kRow * kKeys / 2;
  for (int i = threadIdx.x; i < kStages * kTileWords; i += kThreads)
    words[i] = reinterpret_cast<const std::uint32_t*>(p.tile)[blockIdx.x * kTileWords + i];
  for (int i = threadIdx.x; i < 2048; i += kThreads)
    reinterpret_cast<std::uint32_t*>(smem.q)[i] = reinterpret_cast<const std::uint32_t*>(p.p)[i];
  if (threadIdx.x == 0) {
    for (auto& parts : smem.full)
      for (Mbarrier& full : parts) full.init(1);
    for (Mbarrier& used : smem.used) used.init(12 * kCluster);
    fence_barrier_init();
  }
  fence_proxy_async();
  cluster_sync();
  const long long begin = clock64(), since = nanoseconds();
  float sum = 0;
  const int warpgroup = warpgroup_index();
  if (warpgroup == 0) {
    take_registers<184>();
    if constexpr (k.scores != A::none) sum = scores_stream<k>(smem);
  } else {
    give_back_registers<160>();
    if constexpr (k.output != A::none) sum = output_stream<k>(smem, p, warpgroup - 1);
  }
  if (sum == 12345.f) never[threadIdx.x] = sum;  // keeps the work
  __syncwarp();
  cluster_sync();
  if (threadIdx.x == 0) p.out[blockIdx.x] = {clock64() - begin, nanoseconds() - since};
#endif
}

}  // namespace mla_streams
