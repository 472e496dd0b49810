// GQA decode: tiles of K and V into a warp's own ring, ahead of it.
#pragma once
#include "kernels/hopper/gqa/shared.cuh"

namespace kvroof::kernels::gqa_tma {

/// Runs ahead of its warp, tile by tile, over the pieces of the worker. Lane 0 drives it.
template <class T>
struct Feed {
  const Params& p;
  Smem<T>& smem;
  int warp;
  PieceWalk<T::kBlockKeys> walk;
  int tile = 0, end = 0, keys = 0, kv_head = 0, request = 0, page = 0;
  int stage = 0;

  __device__ Feed(const Params& params, Smem<T>& s, int w)
      : p(params),
        smem(s),
        warp(w),
        walk(PieceWalk<T::kBlockKeys>::of(params.plan, static_cast<int>(blockIdx.x))) {
    next_piece();
  }
  __device__ int key() const { return tile * T::kBlockKeys + warp * T::kKeys; }
  /// Looked up one tile ahead: it is a read of its own.
  __device__ void look_up() {
    if (p.table == nullptr) return;
    page = key() < keys ? p.table[request * p.max_pages + (key() >> p.page_log2)] : 0;
  }
  __device__ Rows next_piece() {
    const Piece piece = walk.next();
    const Rows rows(p, piece.stream);
    request = rows.request, kv_head = rows.kv_head;
    tile = piece.begin, end = piece.end, keys = piece.keys;
    return rows;
  }
  /// Asks for one tile, if there is one.
  __device__ void load() {
    if (tile == end) return;
    auto& to = smem.ring[warp][stage];
    auto& full = smem.full[warp][stage];
    full.arrive_expect(sizeof(to));
    const bool paged = p.table != nullptr;
    const int row = paged ? key() & ((1 << p.page_log2) - 1) : key(), at = paged ? page : request;
    hopper::load_tile(&to.k, p.k, full, row, kv_head, at);
    hopper::load_tile(&to.v, p.v, full, row, kv_head, at);
    stage = stage + 1 == T::kStages ? 0 : stage + 1;
    if (++tile == end) {
      if (walk.done()) return;
      const Rows rows = next_piece();
      // Its q into L2, a row or two a warp:
      // in the full queue to HBM it would wait for microseconds.
      for (int r = warp; r < rows.count; r += T::kWarps)
        hopper::prefetch_l2(p.q + rows.row(p, r) * T::kD, T::kD * 2);
    }
    look_up();
  }
};

}  // namespace kvroof::kernels::gqa_tma
