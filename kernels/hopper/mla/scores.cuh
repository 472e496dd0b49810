// MLA decode: the warpgroup of S, softmax and P.
#pragma once
#include "kernels/hopper/mla/feed.cuh"

namespace kvroof::kernels::mla {

/// 64 rows of one block of q, 16 columns a step -> A operands, by ldmatrix from the swizzled block.
template <int kSteps>
__device__ __forceinline__ void load_q(std::uint32_t (*q)[4], const Block& block) {
  const int lane = threadIdx.x % 32, row = threadIdx.x % 128 / 32 * 16 + lane % 16;
  const std::uint32_t at = shared_address(&block[row][0]);
#pragma unroll
  for (int i = 0; i < kSteps; ++i)
    load_matrices(*reinterpret_cast<std::uint32_t(*)[4]>(q[i]),
                  at + static_cast<std::uint32_t>(((2 * i + lane / 16) ^ (row & 7)) << 4));
}

/// P as bf16 into the swizzled tile that output warpgroups read as their A operand.
__device__ __forceinline__ void store_p(Block& p, const float (&s)[kKeys / 2]) {
  const int lane = threadIdx.x % 32, row = threadIdx.x % 128 / 32 * 16 + lane % 16;
  const std::uint32_t at = shared_address(p[row]) + ((lane / 16 ^ (row & 7)) << 4);
#pragma unroll
  for (int i = 0; i < kKeys / 16; ++i)
    asm volatile(
        "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(at ^ (i << 5)),
        "r"(pack2<bf16>(s[8 * i], s[8 * i + 1])), "r"(pack2<bf16>(s[8 * i + 2], s[8 * i + 3])),
        "r"(pack2<bf16>(s[8 * i + 4], s[8 * i + 5])), "r"(pack2<bf16>(s[8 * i + 6], s[8 * i + 7]))
        : "memory");
}

/// Keys that a row sees, of those from this piece's first on.
__device__ __forceinline__ int sees(const Params& p, const Errand& errand, int row) {
  return min(errand.keys, errand.keys - p.s_q + 1 + (errand.row + row) / p.h_q);
}

/// Maxima and sums of a thread's two rows; m is the maximum that P is relative to.
struct Softmax {
  float scale;  // of scores, to exponents to base 2
  float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0};

  /// S of a tile -> P -> `block`, and what the output warpgroups must know of it -> smem.step.
  template <class Shared>
  __device__ __forceinline__ void hand_over(Shared& smem, Block& block, const Params& p,
                                            const Errand& errand, float (&s)[kKeys / 2], int tile) {
    if (tile >= errand.unmasked) {
      const int limit[2] = {sees(p, errand, fragment_row()) - tile * kKeys,
                            sees(p, errand, fragment_row() + 8) - tile * kKeys};
#pragma unroll
      for (int i = 0; i < kKeys / 2; ++i)
        if (fragment_column() + i / 4 * 8 + i % 2 >= limit[i / 2 % 2]) s[i] = -INFINITY;
    }
    float high[2][2], correction[2], base[2];  // by row and column parity
#pragma unroll
    for (int i = 0; i < kKeys / 2; ++i)
      high[i / 2 % 2][i % 2] = i < 4 ? s[i] : fmaxf(high[i / 2 % 2][i % 2], s[i]);
    bool moved = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float top = row_max(fmaxf(high[half][0], high[half][1]));
      const bool rises = (top - m[half]) * scale > 8;  // not where both are -inf
      correction[half] = exp2_approx(rises ? (m[half] - top) * scale : 0.f);
      m[half] = rises ? top : m[half];
      base[half] = m[half] == -INFINITY ? 0.f : m[half] * scale;
      l[half] *= correction[half];
      moved |= rises;
    }
    float sum[2][2] = {};
#pragma unroll
    for (int i = 0; i < kKeys / 2; ++i) {
      s[i] = exp2_approx(fmaf(s[i], scale, -base[i / 2 % 2]));
      sum[i / 2 % 2][i % 2] += s[i];
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) l[half] += sum[half][0] + sum[half][1];
    moved = __any_sync(~0u, moved);

    store_p(block, s);
    Step& step = smem.step;
    if (threadIdx.x % 128 == 0)
      step.first = tile == 0, step.last = tile + 1 == errand.tiles,
      step.valid = errand.keys - tile * kKeys;
    if (threadIdx.x % 32 == 0) step.moved[threadIdx.x / 32] = moved;
    if (moved && threadIdx.x % 4 == 0)
      step.correction[fragment_row()] = correction[0],
      step.correction[fragment_row() + 8] = correction[1];
    if (tile + 1 == errand.tiles) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float sum = row_sum(l[half]);
        if (threadIdx.x % 4 != 0) continue;
        const int row = fragment_row() + 8 * half;
        step.inverse[row] = sum > 0 ? 1 / sum : 0.f;
        const float lse2 = sum > 0 ? m[half] * scale + log2f(sum) : -INFINITY;
        if (!errand.whole) p.part_lse2[errand.out + row] = lse2;
        else if (errand.row + row < p.rows && p.lse != nullptr)
          p.lse[errand.out + row] = lse2 * 0.6931471805599453f;
      }
    }
  }
};

/// Sends the output warpgroups home after `count` tiles.
template <class Shared>
__device__ __forceinline__ void nothing_left(Shared& smem, int count) {
  if (count > 0) barrier_sync(kStepRead, kAll);
  if (threadIdx.x % 128 == 0) smem.step.first = -1;
  barrier_arrive(kPFull + count % 2, kAll);
}

template <int kCluster>
__device__ __forceinline__ void scores(Smem& smem, const Params& p) {
  barrier_sync(kStepRead, kAll);
  Ring<kStages> ring;
  int count = 0;  // of tiles: neighbours use different barriers
  for (int piece = 0;; piece = (piece + 1) % 4) {
    auto& first = smem.tile[ring.stage];
    smem.full[ring.stage][0].wait(ring.parity);
    const Errand& errand = smem.errand[piece];
    if (errand.tiles == 0) break;
    smem.full[ring.stage][1].wait(ring.parity);
    std::uint32_t q[31][4];  // columns 512 .. 575, then 0 .. 431
    load_q<4>(q, first[kRope]);
#pragma unroll
    for (int block = 0; block < 6; ++block) load_q<4>(q + 4 + 4 * block, first[block]);
    load_q<3>(q + 28, first[6]);
    {
      const int row = threadIdx.x / 2, chunk = threadIdx.x % 2;
      *reinterpret_cast<uint4*>(smem.q_step[row / 8][chunk][row % 8]) =
          *reinterpret_cast<const uint4*>(&first[6][row][((6 + chunk) ^ (row & 7)) * 8]);
    }
    for (int i = threadIdx.x; i < static_cast<int>(sizeof smem.q / 16); i += 128)
      reinterpret_cast<uint4*>(smem.q)[i] = reinterpret_cast<const uint4*>(first[7])[i];
    fence_proxy_async();
    barrier_sync(kScores, 128);
    release<kCluster>(smem.used[ring.stage], 2);
    ring.advance();

    Softmax softmax{p.scale * 1.4426950408889634f};
    for (int tile = 0, end = 0; !end; ++tile) {
      float s[kKeys / 2];
      const int stage = uniform(ring.stage);
      auto& latent = smem.tile[stage];
      auto& full = smem.full[stage];
      full[0].wait(ring.parity);
      wgmma::pin(s);
      wgmma::fence();
#pragma unroll
      for (int i = 0; i < 4; ++i)
        wgmma::Mma<kKeys>::rs<bf16, wgmma::Major::k>(s, q[i], k_major(latent[kRope]) + i * 32,
                                                     i > 0);
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        const int block = (n + 4) % 8;
        if (n == 4) {
          full[1].wait(ring.parity);
          wgmma::fence();
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const Descriptor keys = k_major(latent[block]) + i * 32;
          constexpr auto kMajor = wgmma::Major::k;
          if (const int at = 4 + 4 * block + i; at < 31)
            wgmma::Mma<kKeys>::rs<bf16, kMajor>(s, q[at < 31 ? at : 0], keys, true);
          else
            wgmma::Mma<kKeys>::ss<bf16, kMajor>(
                s,
                block == 7 ? k_major(smem.q) + i * 32
                           : descriptor(shared_address(smem.q_step), 128, 256, 0),
                keys, true);
        }
      }
      wgmma::commit();
      const bool last = tile + 1 == errand.tiles;
      wgmma::wait<0>();
      wgmma::pin(s);
      // All four warps have read the rope block, where P goes, and the step before has been read.
      if (count > 0) barrier_sync(kStepRead, kAll);
      else barrier_sync(kScores, 128);
      if (tile > 0) barrier_arrive(kScoresDone + count % 2, kAll);

      softmax.hand_over(smem, latent[kRope], p, errand, s, tile);
      fence_proxy_async();
      barrier_arrive(kPFull + count % 2, kAll);
      ++count;
      end = last;
      ring.advance();
    }
  }
  nothing_left(smem, count);
}

}  // namespace kvroof::kernels::mla
