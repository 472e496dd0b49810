// MLA decode over a latent in FP8: tokens of 656 bytes, widened to bf16 tiles by a warpgroup.
//
//   a token: 512 E4M3 codes, 4 fp32 scales (of 128 columns each), 64 bf16 of the rotary part
//   a tile of 64 tokens of one page is 41,984 neighbouring bytes: global memory -> registers ->
//   code · scale as bf16 -> the swizzled tile that TMA would have written
//
// A tile takes about 6000 cycles (350 TFLOP/s at 128 heads, 1.6 TB/s at 16) against 2176 of tensor
// work: four warps that load, convert and store one after another are the limit, not the products.
//
// The widening warpgroup takes the registers that q takes in the bf16 kernel, so q lies in shared
// memory (72 KiB), two tiles beside it. Layout: deepseek-ai/FlashMLA, FP8 KV cache.
#pragma once
#include "kernels/hopper/mla/output.cuh"
#include "kernels/hopper/mla/scores.cuh"

namespace kvroof::kernels::mla {

constexpr int kTokenBytes = kLatent + 16 + 2 * (kRow - kLatent);
static_assert(kTokenBytes == 656);

struct WidenedSmem {
  static constexpr int kStages = 2;
  alignas(1024) Block q[kBlocks];
  Block tile[kStages][kBlocks];
  Step step;
  Errand errand[4];
  Mbarrier q_full, q_used;                // q_used: by the warps of the scores warpgroup
  Mbarrier full[kStages], used[kStages];  // by the widening threads; by the output warps
};
static_assert(sizeof(WidenedSmem) <= 227 * 1024);

struct WidenedParams {
  Params p;
  const std::uint8_t* cache;  // [pages, page, 656]
};

struct ByWidening {
  using Smem = WidenedSmem;
  static constexpr int kCluster = 1, kStages = Smem::kStages, kColumns = 128;
  static constexpr bool kQInRing = false, kFeeds = false;
};

/// Four codes times a scale -> four bf16.
__device__ __forceinline__ uint2 widen4(std::uint32_t codes, float scale) {
  std::uint32_t w[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const __half2 x{
        __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(codes >> 16 * i), __NV_E4M3)};
    w[i] = pack2<bf16>(__low2float(x) * scale, __high2float(x) * scale);
  }
  return make_uint2(w[0], w[1]);
}

/// 64 neighbouring tokens -> a tile. Four lanes take 64 columns of a token, and the eight lanes of
/// a store two tokens, whose chunks the swizzle puts on different banks.
__device__ __forceinline__ void widen_tile(Block (&tile)[kBlocks], const std::uint8_t* tokens) {
  const int lane = threadIdx.x % 32, first = threadIdx.x % 128 / 32 * 16;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = first + 4 * i + lane / 8, chunk = lane % 8;
    const auto* rope = tokens + row * kTokenBytes + kLatent + 16;
    *reinterpret_cast<uint4*>(&tile[kRope][row][(chunk ^ (row & 7)) * 8]) =
        __ldg(reinterpret_cast<const uint4*>(rope) + chunk);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = first + 8 * i + lane / 4;
    const auto* token = reinterpret_cast<const uint4*>(tokens + row * kTokenBytes);
    uint4 codes[8];
#pragma unroll
    for (int block = 0; block < 8; ++block) codes[block] = __ldg(token + 4 * block + lane % 4);
    const float4 of_token = __ldg(reinterpret_cast<const float4*>(token + kLatent / 16));
    const float scale[4] = {of_token.x, of_token.y, of_token.z, of_token.w};
#pragma unroll
    for (int block = 0; block < 8; ++block) {
      const std::uint32_t four[4] = {codes[block].x, codes[block].y, codes[block].z,
                                     codes[block].w};
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint2 low = widen4(four[2 * half], scale[block / 2]),
                    high = widen4(four[2 * half + 1], scale[block / 2]);
        const int chunk = 2 * (lane % 4) + half;
        *reinterpret_cast<uint4*>(&tile[block][row][(chunk ^ (row & 7)) * 8]) =
            make_uint4(low.x, low.y, high.x, high.y);
      }
    }
  }
}

/// The warpgroup of tiles: q by TMA, latent rows through registers.
__device__ __forceinline__ void widen(WidenedSmem& smem, const WidenedParams& w) {
  const Params& p = w.p;
  const int thread = threadIdx.x % 128;
  Ring<WidenedSmem::kStages> ring{.parity = 1};
  std::uint32_t q_parity = 1;
  int slot = 0;
  for (PieceWalk<kKeys> walk = PieceWalk<kKeys>::of(p.plan, static_cast<int>(blockIdx.x));
       !walk.done(); slot = (slot + 1) % 4, q_parity ^= 1) {
    const Piece piece = walk.next();
    const int request = piece.stream / p.groups, row = piece.stream % p.groups * kRows;
    if (thread == 0) {
      smem.errand[slot] = {piece.end - piece.begin,
                           (piece.keys - p.s_q + 1) / kKeys - piece.begin,
                           piece.keys - piece.begin * kKeys,
                           row,
                           piece.whole,
                           piece.whole ? static_cast<std::int64_t>(request) * p.rows + row
                                       : static_cast<std::int64_t>(piece.slot) * kRows};
      smem.q_used.wait(q_parity);
      smem.q_full.arrive_expect(static_cast<int>(sizeof smem.q));
      for (int part = 0; part < kParts; ++part)
        load_tile(&smem.q[part_first(part)], p.q[part], smem.q_full, row, 0, request,
                  part_first(part));
    }
    const auto tokens = [&](int tile) {
      const int page = tile * kKeys < piece.keys
                           ? p.table[request * p.max_pages + (tile >> p.page_tiles_log2)]
                           : 0;
      const int in_page = tile & ((1 << p.page_tiles_log2) - 1);
      return w.cache + ((static_cast<std::int64_t>(page) << p.page_tiles_log2) + in_page) *
                           (kKeys * kTokenBytes);
    };
    const std::uint8_t* now = tokens(piece.begin);
    for (int tile = piece.begin; tile < piece.end; ++tile) {
      const std::uint8_t* next = tile + 1 < piece.end ? tokens(tile + 1) : now;
      for (int line = thread; line < kKeys * kTokenBytes / 128; line += 128)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(next + line * 128));
      smem.used[ring.stage].wait(ring.parity);
      widen_tile(smem.tile[ring.stage], now);
      fence_proxy_async();
      smem.full[ring.stage].arrive();
      ring.advance();
      now = next;
    }
  }
  if (thread != 0) return;
  smem.errand[slot].tiles = 0;
  smem.q_used.wait(q_parity);
  smem.q_full.arrive();
}

/// S of widened tiles, q in shared memory.
__device__ __forceinline__ void scores_of_widened(WidenedSmem& smem, const Params& p) {
  barrier_sync(kStepRead, kAll);
  Ring<WidenedSmem::kStages> ring;
  Ring<1> of_q;
  int count = 0;  // of tiles: neighbours use different barriers
  for (int piece = 0;; piece = (piece + 1) % 4, of_q.advance()) {
    smem.q_full.wait(of_q.parity);
    const Errand& errand = smem.errand[piece];
    if (errand.tiles == 0) break;
    Softmax softmax{p.scale * 1.4426950408889634f};
    for (int tile = 0, end = 0; !end; ++tile) {
      float s[kKeys / 2];
      const int stage = uniform(ring.stage);
      auto& latent = smem.tile[stage];
      smem.full[stage].wait(ring.parity);
      wgmma::pin(s);
      wgmma::fence();
#pragma unroll
      for (int i = 0; i < kRow / 16; ++i)
        wgmma::Mma<kKeys>::ss<bf16, wgmma::Major::k>(s, k_major(smem.q[i / 4]) + i % 4 * 32,
                                                     k_major(latent[i / 4]) + i % 4 * 32, i > 0);
      wgmma::commit();
      end = tile + 1 == errand.tiles;
      wgmma::wait<0>();
      wgmma::pin(s);
      // All four warps have read the rope block, where P goes, and the step before has been read.
      if (count > 0) barrier_sync(kStepRead, kAll);
      else barrier_sync(kScores, 128);
      if (tile > 0) barrier_arrive(kScoresDone + count % 2, kAll);
      if (end) release<1>(smem.q_used, 1);
      softmax.hand_over(smem, latent[kRope], p, errand, s, tile);
      fence_proxy_async();
      barrier_arrive(kPFull + count % 2, kAll);
      ++count;
      ring.advance();
    }
  }
  nothing_left(smem, count);
}

}  // namespace kvroof::kernels::mla
