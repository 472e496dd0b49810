// MLA decode: the warpgroups of O.
#pragma once
#include "kernels/hopper/mla/feed.cuh"

namespace kvroof::kernels::mla {

/// P[:, 16·i ...] · C[16·i ..., 256·part ...], issued and committed.
__device__ __forceinline__ void issue_output(float (&o)[128], Descriptor probabilities,
                                             Descriptor values, bool first) {
  wgmma::pin(o);
  wgmma::fence();
#pragma unroll
  for (int i = 0; i < kKeys / 16; ++i)
    wgmma::Mma<256>::ss<bf16, wgmma::Major::mn>(o, probabilities + i * 32, values + i * 2048,
                                                i > 0 || !first);
  wgmma::commit();
}

/// Rows of a half past the last key: whatever the page holds there, 0 · it must be 0.
__device__ __forceinline__ void clear_rows(Block* half, int from, int part) {
  for (int i = threadIdx.x % 128; i < (kKeys - from) * 32; i += 128)
    *reinterpret_cast<uint4*>(&half[i / 8 % 4][from + i / 32][i % 8 * 8]) = make_uint4(0, 0, 0, 0);
  fence_proxy_async();
  barrier_sync(kOutput + part, 128);
}

template <int kCluster>
__device__ __forceinline__ void output(Smem& smem, const Params& p, int part) {
  const Step& step = smem.step;
  const bool feeds = part == 0 && threadIdx.x % 128 == 0;
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
    if (first) stage = (stage + 1) % kStages;  // q
    stage = uniform(stage);
    Block* half = &smem.tile[stage][4 * part];
    if (valid < kKeys) clear_rows(half, max(valid, 0), part);
    if (!first && moved) {
#pragma unroll
      for (int i = 0; i < 128; ++i) o[i] *= correction[i / 2 % 2];
    }
    const Descriptor probabilities = k_major(smem.tile[stage][kRope]);
    const Descriptor values = mn_major(half, kKeys);
    if (feeds && first) Feeder<kCluster>{smem, p}.refill();  // where q was
    ++count;
    if (!last) barrier_sync(kScoresDone + count % 2, kAll);
    issue_output(o, probabilities, values, first);
    wgmma::wait<0>();
    wgmma::pin(o);
    release<kCluster>(smem.used[stage], 1);
    if (feeds) Feeder<kCluster>{smem, p}.refill();
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
