// MLA decode: the warpgroups of O.
#pragma once
#include "kernels/hopper/mla/feed.cuh"

namespace kvroof::kernels::mla {

/// How a kernel feeds its ring: which of the tiles and how, to output().
///   kStages of the ring, kQInRing whether q takes a place in it, kFeeds whether output warpgroup 0
///   loads it, kColumns of one wgmma: 256, or 128 where ptxas cannot count on 154 registers
template <int kCluster_>
struct BySelf {
  using Smem = mla::Smem;
  static constexpr int kCluster = kCluster_, kStages = mla::kStages, kColumns = 256;
  static constexpr bool kQInRing = true, kFeeds = true;
};

/// P[:, 16·i ...] · C[16·i ..., 256·part ...], issued and committed.
template <int kColumns>
__device__ __forceinline__ void issue_output(float (&o)[128], Descriptor probabilities,
                                             Descriptor values, bool first) {
  wgmma::pin(o);
  wgmma::fence();
#pragma unroll
  for (int i = 0; i < kKeys / 16; ++i)
#pragma unroll
    for (int c = 0; c < 256; c += kColumns)
      wgmma::Mma<kColumns>::template ss<bf16, wgmma::Major::mn>(
          reinterpret_cast<float(&)[kColumns / 2]>(o[c / 2]), probabilities + i * 32,
          values + (i * 2048 + c / 64 * static_cast<int>(sizeof(Block))), i > 0 || !first);
  wgmma::commit();
}

/// Rows of a half past the last key: whatever the page holds there, 0 · it must be 0.
__device__ __forceinline__ void clear_rows(Block* half, int from, int part) {
  for (int i = threadIdx.x % 128; i < (kKeys - from) * 32; i += 128)
    *reinterpret_cast<uint4*>(&half[i / 8 % 4][from + i / 32][i % 8 * 8]) = make_uint4(0, 0, 0, 0);
  fence_proxy_async();
  barrier_sync(kOutput + part, 128);
}

template <class Fed>
__device__ __forceinline__ void output(typename Fed::Smem& smem, const Params& p, int part) {
  constexpr int kStages = Fed::kStages, kCluster = Fed::kCluster;
  const Step& step = smem.step;
  const bool feeds = Fed::kFeeds && part == 0 && threadIdx.x % 128 == 0;
  const auto refill = [&] {
    if constexpr (Fed::kFeeds)
      if (feeds) Feeder<kCluster>{smem, p}.refill();
  };
  if constexpr (Fed::kFeeds)
    if (feeds) Feeder<kCluster>{smem, p}.start();
  barrier_sync(kStepRead, kAll);  // the first errand is written
  float o[128];
  int stage = 0, count = 0;
  for (int piece = 0;;) {
    barrier_sync(kPFull + count % 2, kAll);
    const int first = step.first, last = step.last, valid = step.valid;
    if (first < 0) break;
    const int moved = step.moved[threadIdx.x % 128 / 32];
    const float correction[2] = {step.correction[fragment_row()],
                                 step.correction[fragment_row() + 8]};
    const float factor[2] = {step.inverse[fragment_row()], step.inverse[fragment_row() + 8]};
    barrier_arrive(kStepRead, kAll);
    if (Fed::kQInRing && first) stage = (stage + 1) % kStages;
    stage = uniform(stage);
    Block* half = &smem.tile[stage][4 * part];
    if (valid < kKeys) clear_rows(half, max(valid, 0), part);
    if (!first && moved) {
#pragma unroll
      for (int i = 0; i < 128; ++i) o[i] *= correction[i / 2 % 2];
    }
    const Descriptor probabilities = k_major(smem.tile[stage][kRope]);
    const Descriptor values = mn_major(half, kKeys);
    if (first) refill();  // where q was
    ++count;
    if (!last) barrier_sync(kScoresDone + count % 2, kAll);
    issue_output<Fed::kColumns>(o, probabilities, values, first);
    wgmma::wait<0>();
    wgmma::pin(o);
    release<kCluster>(smem.used[stage], 1);
    refill();
    stage = (stage + 1) % kStages;
    if (!last) continue;

    const Errand& errand = smem.errand[piece];
    piece = (piece + 1) % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = fragment_row() + 8 * half;
      const std::int64_t at = (errand.out + row) * kLatent + 256 * part;
      if (errand.whole) {
        store_row<bf16, 128, false>(p.o + at, o, half, factor[half], errand.row + row < p.rows);
      } else {
        float* out = p.part_o + at + fragment_column();
#pragma unroll
        for (int g = 0; g < 32; ++g)
          *reinterpret_cast<float2*>(out + 8 * g) = make_float2(
              o[4 * g + 2 * half] * factor[half], o[4 * g + 2 * half + 1] * factor[half]);
      }
    }
  }
}

}  // namespace kvroof::kernels::mla
