// MLA decode: elements of the ring, loaded by one thread.
#pragma once
#include "kernels/hopper/mla/shared.cuh"

namespace kvroof::kernels::mla {

/// One thread's: elements into the ring, in order.
template <int kCluster>
struct Feeder {
  Smem& smem;
  const Params& p;
  Feed& f = smem.feed;

  __device__ int worker() const { return static_cast<int>(blockIdx.x) / kCluster; }

  /// Page of a tile of the present piece -> f.page, some time later.
  __device__ void look_up(int tile) {
    if (tile >= f.end || tile * kKeys >= f.keys) return;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(&f.page)),
                 "l"(p.table + f.request * p.max_pages + (tile >> p.page_tiles_log2))
                 : "memory");
  }
  __device__ static void wait_lookups() {
    commit_copies();
    wait_copies<0>();
  }
  /// The next piece, and its errand for the others.
  __device__ void next_piece() {
    f.more = f.walked < f.last;
    Errand& errand = smem.errand[f.errand];
    f.errand = (f.errand + 1) % 4;
    errand.tiles = 0;
    if (!f.more) return;
    PieceWalk<kKeys> walk{p.plan, worker(), f.walked, f.last, f.stream};
    const Piece piece = walk.next();
    f.walked = walk.tile, f.stream = walk.stream;
    f.request = piece.stream / p.groups;
    f.row = (piece.stream % p.groups * kCluster + f.rank) * kRows;
    f.next = piece.begin - 1, f.begin = piece.begin, f.end = piece.end, f.keys = piece.keys;
    errand = {piece.end - piece.begin,
              (piece.keys - p.s_q + 1) / kKeys - piece.begin,
              piece.keys - piece.begin * kKeys,
              f.row,
              piece.whole,
              piece.whole ? static_cast<std::int64_t>(f.request) * p.rows + f.row
                          : (piece.slot * kCluster + f.rank) * kRows};
    look_up(piece.begin);
  }

  __device__ void load() {
    const int stage = f.stage, next = f.next;
    auto& tile = smem.tile[stage];
    auto& full = smem.full[stage];
    if (!f.more) {
      if (!f.told) full[0].arrive();
      f.told = true;
      return;
    }
    const bool is_q = next < f.begin;
    wait_lookups();
    const int page = next * kKeys < f.keys ? f.page : 0;
    const int in_page = next & ((1 << p.page_tiles_log2) - 1);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      Block& to = tile[part_first(part)];
      full[part].arrive_expect(part_blocks(part) * static_cast<int>(sizeof(Block)));
      if (is_q) load_tile(&to, p.q[part], full[part], f.row, 0, f.request, part_first(part));
      else if constexpr (kCluster == 1)
        load_tile(&to, p.cache[part], full[part], in_page * kKeys, 0, page, part_first(part));
      else if ((part + next) % kCluster == f.rank)
        load_tile_to((1 << kCluster) - 1, &to, p.cache[part], full[part], in_page * kKeys, 0, page,
                     part_first(part));
    }
    f.stage = stage + 1 == kStages ? 0 : stage + 1;
    f.parity ^= f.stage == 0;
    if (!is_q) look_up(next + 1);
    if ((f.next = next + 1) == f.end) next_piece();
  }

  __device__ void start() {
    const int2 from = worker_range(p.plan, worker());
    f.rank = kCluster > 1 ? cluster_rank() : 0;
    f.stage = f.errand = f.told = 0, f.parity = 1;
    f.walked = from.x, f.stream = from.y, f.last = worker_range(p.plan, worker() + 1).x;
    next_piece();
    for (int i = 0; i < kStages; ++i) load();
  }
  /// Loads one element more, once its place has been used by all.
  __device__ void refill() {
    if (f.told) return;
    smem.used[f.stage].wait(f.parity);
    load();
  }
};

/// This warp no longer reads the stage; told to every block that writes to it. `count` arrivals.
template <int kCluster>
__device__ __forceinline__ void release(Mbarrier& used, int count) {
  __syncwarp();
  const int lane = threadIdx.x % 32;
  if (lane >= kCluster * count) return;
  if constexpr (kCluster == 1) used.arrive();
  else arrive_at(used, lane % kCluster);
}

}  // namespace kvroof::kernels::mla
