// The producer warpgroup: one thread feeds Q, K and V through TMA.
#pragma once
#include "kernels/hopper/forward/schedule.cuh"

namespace kvroof::kernels::flash_v3 {

using namespace hopper;

/// One thread: for each tile Q, then K_j and V_j in the order in which consumers need them.
template <class Tile, bool kCausal>
__device__ __forceinline__ void produce(Smem<Tile>& smem, const Params& p) {
  prefetch_map(p.q), prefetch_map(p.k), prefetch_map(p.v);
  int tiles = p.heads * p.q_tiles;
  if constexpr (Tile::kOptions.splits) tiles = p.whole + (tiles - p.whole) * p.parts;
  Ring<Tile::kQStages> q{.parity = 1};
  Ring<Tile::kStages> k{.parity = 1}, v{.parity = 1};

  int tile = static_cast<int>(blockIdx.x);
  while (tile < tiles) {
    const Place at = place<Tile, kCausal>(p, tile);
    const int h_kv = at.h / p.group;
    const auto load_k = [&](int j) {
      smem.k_free[k.stage].wait(k.parity);
      smem.k_full[k.stage].arrive_expect(sizeof smem.k[0]);
      load_tile(smem.k[k.stage], p.k, smem.k_full[k.stage], j * Tile::kKeys, h_kv, at.b);
      k.advance();
    };
    const auto load_v = [&](int j) {
      smem.v_free[v.stage].wait(v.parity);
      smem.v_full[v.stage].arrive_expect(sizeof smem.v[0]);
      if constexpr (Tile::kFp8)
        load_tile(smem.v[v.stage], p.v, smem.v_full[v.stage], 0, h_kv, at.b,
                  j * (Tile::kKeys / Tile::kVSpan));
      else load_tile(smem.v[v.stage], p.v, smem.v_full[v.stage], j * Tile::kKeys, h_kv, at.b);
      v.advance();
    };
    const int first = Tile::kOptions.splits ? at.first : 0;
    load_k(first);
    smem.q_free[q.stage].wait(q.parity);
    smem.place[q.stage] = at;
    smem.q_full[q.stage].arrive_expect(sizeof smem.q[0]);
    load_tile_once(smem.q[q.stage], p.q, smem.q_full[q.stage], at.row, at.h, at.b);
    q.advance();
    for (int j = first + 1; j < at.key_tiles; ++j) load_k(j), load_v(j - 1);
    // Drawn late, so that blocks take tiles in the order in which they get free: long and short
    // tiles even out, and few heads are at work at a time.
    // The loads ahead hide the answer's way back.
    const unsigned ticket = Tile::kOptions.persistent ? atomicAdd(p.ticket, 1u) : 0;
    load_v(at.key_tiles - 1);
    if constexpr (!Tile::kOptions.persistent) break;

    tile = static_cast<int>(ticket + gridDim.x);
    // Every block draws one ticket past the end; whoever draws the last one resets the counter.
    if (ticket == static_cast<unsigned>(tiles) - 1) *p.ticket = 0;
  }
  smem.q_free[q.stage].wait(q.parity);
  smem.place[q.stage].key_tiles = 0;
  smem.q_full[q.stage].arrive();
}

}  // namespace kvroof::kernels::flash_v3
