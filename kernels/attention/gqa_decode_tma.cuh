// GQA decode fed by TMA, for Hopper.                  model: model/attention/flash_decoding.cpp
//   o = softmax(scale · q·K^T) · V      q, o [b, s_q, h_q, d]   k, v [b, h_kv, s_kv, d]   bf16
//   or pages: k, v [pages, h_kv, page, d], token j of a request in page table[request, j / page]
// The s_q·h_q / h_kv query rows of a K/V head are the rows of one mma tile (kernels/split_kv.cuh
// has the same arithmetic, fed by cp.async).
//
// Three things keep the pins busy:
//   bytes in flight   one block an SM with a ring of 192 KiB; each of its warps has its own part
//                     and runs through it alone: lane 0 asks TMA for the tile kStages ahead as soon
//                     as the warp has read one. No barrier stands between copies.
//   no tail           key tiles of all requests and heads stand end to end and SMs take equal
//                     ranges (balanced_split.hpp): of one stream each, or of whole streams, where
//                     that keeps 95 % of the SMs at work; the ring runs on across borders.
//   no second kernel  the block that brings the last piece of a cut stream merges it, counted by a
//                     ticket: o = sum_i 2^(lse_i - L)·o_i / sum_i 2^(lse_i - L). Where a pair
//                     of SMs has a stream to itself, they merge through shared memory
//
// Beside flash_decoding (H200, reports/h200-sxm-141gb/decode_tma.csv): within 1.3 % or faster, by
// 8 % at batch 1, 8K. For 8 and more rows a K/V head over caches that L2 holds take flash_decoding:
// here one block merges all pieces of a stream, 7.3 against 6.2 us at batch 1, 2K, 64 heads.
// What it took:
//   - maps that fetch 128 bytes a miss; with 256 no ring of any shape passes 4.18 TB/s
//   - q asked for after the first tile, before the rest: behind 24 MiB in flight it comes 6 us late
//   - short code once the loop is over: what runs once runs at the speed of instruction fetch. No
//     division, few unrolled copies: 10.7 instead of 12.8 thousand cycles at batch 1, 2K
//   - a start before the kernel before it has ended only where that is short (starts_early): it
//     costs a long one 2 %, 471 against 461 us at batch 16, 32K
// A cut stream costs its last block a drain of about 3 us in which tickets pass and nobody reads.
#pragma once
#include "kernels/hopper/gqa/feed.cuh"
#include "kernels/hopper/gqa/merge.cuh"
#include "kernels/hopper/gqa/products.cuh"

namespace kvroof::kernels::gqa_tma {

template <class T>
__global__ void __launch_bounds__(T::kThreads, 1) decode(const __grid_constant__ Params p) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(1024) std::uint8_t raw[];
  auto& smem = *reinterpret_cast<Smem<T>*>(raw);
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0), lane = threadIdx.x % 32;
  if (lane == 0) {
    for (auto& full : smem.full[warp]) full.init(1);
    hopper::fence_barrier_init();
  }
  __syncwarp();
  if (threadIdx.x == 0) hopper::prefetch_map(p.k), hopper::prefetch_map(p.v);
  allow_next_kernel();  // its prologue may run under our last tiles
  auto walk = PieceWalk<T::kBlockKeys>::of(p.plan, static_cast<int>(blockIdx.x));
  Piece piece = walk.next();
  Rows rows(p, piece.stream);
  Feed<T> feed(p, smem, warp);
  wait_for_previous_kernel();  // which may have written q, K and V
  std::uint32_t q[T::kD / 16][4];
  if (lane == 0) feed.look_up(), feed.load();
  load_queries<T>(q, p, rows,
                  lane);  // behind the whole ring, 24 MiB on all SMs, they wait for 6 us
  if (lane == 0)
    for (int i = 1; i < T::kStages; ++i) feed.load();

  const float scale = p.scale * 1.4426950408889634f;  // exponents to base 2
  hopper::Ring<T::kStages> ring;
  while (true) {
    float o[T::kD / 8][4] = {};
    OnlineSoftmax softmax;
    const int diagonal = piece.keys - p.s_q;  // token t sees keys up to diagonal + t
    for (int tile = piece.begin; tile < piece.end; ++tile) {
      const int key = tile * T::kBlockKeys + warp * T::kKeys;
      auto& stage = smem.ring[warp][ring.stage];
      smem.full[warp][ring.stage].wait(ring.parity);
      ring.advance();
      if (key < piece.keys) {
        float s[T::kKeys / 8][4] = {};
        scores<T>(s, q, stage.k, lane);
        bool moved;
        if (key + T::kKeys <= diagonal + 1) {
          moved = softmax.update<false>(s, scale);
        } else {
#pragma unroll
          for (int t = 0; t < T::kKeys / 8; ++t)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              const int j = key + 8 * t + 2 * (lane % 4) + e % 2, r = lane / 4 + e / 2 * 8;
              if (j > diagonal + rows.token(p, r) || j >= piece.keys) s[t][e] = -INFINITY;
            }
          moved = softmax.update<true>(s, scale);
          if (key + T::kKeys > piece.keys) clear_rows<T>(stage.v, piece.keys - key, lane);
        }
        if (moved) softmax.correct(o);
        add_values<T>(o, s, stage.v, lane);
      }
      __syncwarp();  // all lanes have read the tile
      if (lane == 0) feed.load();
    }
    softmax.finish();
    const bool more = !walk.done();
    const Piece next = more ? walk.next() : piece;
    const Rows next_rows(p, next.stream);
    if (more) load_queries<T>(q, p, next_rows, lane);  // they arrive while this piece is merged
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (8 * half >= rows.count) break;
      const int r = lane / 4;
      if (lane % 4 == 0) {
        smem.max2[warp][r] = softmax.max[half] == -INFINITY ? -INFINITY : softmax.max[half] * scale;
        smem.sum[warp][r] = softmax.sum[half];
      }
#pragma unroll
      for (int t = 0; t < T::kD / 8; ++t)
        *reinterpret_cast<float2*>(&smem.o[warp][r][8 * t + 2 * (lane % 4)]) =
            make_float2(o[t][2 * half], o[t][2 * half + 1]);
      __syncthreads();
      merge_warps<T>(p, smem, piece, rows, 8 * half);
      __syncthreads();
    }
    if (!piece.whole) {
      if (p.clusters) merge_cluster<T>(p, smem, rows);
      else merge_stream<T>(p, smem, piece, rows);
    }
    if (!more) break;
    piece = next, rows = next_rows;
  }
#endif
}

}  // namespace kvroof::kernels::gqa_tma
