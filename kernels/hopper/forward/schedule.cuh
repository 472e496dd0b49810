// Which tile a block takes next: sections of heads, longest tiles first.
#pragma once
#include "kernels/hopper/forward/tile.cuh"

namespace kvroof::kernels::flash_v3 {

using namespace hopper;

struct RowTile {
  int head, q_tile;
};

/// Tile index -> head and row tile, `section` heads at a time.
__device__ __forceinline__ RowTile row_tile(int tile, int section, int heads, int q_tiles,
                                            bool longest_first) {
  const int per_section = section * q_tiles;
  const int s = tile / per_section, r = tile - s * per_section;
  const int here = min(section, heads - s * section);
  const int from_last = r / here;
  return {.head = s * section + r - from_last * here,
          .q_tile = longest_first ? q_tiles - 1 - from_last : from_last};
}

/// Tile index -> place. Sections of heads; in a section the longest tiles of all heads first
/// (Zadouri et al. 2026, arXiv:2603.05451, section 3.3).
template <class Tile, bool kCausal>
__device__ __forceinline__ Place place(const Params& p, int tile) {
  int part = -1, cut = 0;
  if constexpr (Tile::kOptions.splits)
    if (tile >= p.whole) {
      part = tile - p.whole, cut = part % p.parts;
      tile = p.whole + part / p.parts;
    }
  const auto [head, q_tile] = row_tile(tile, p.section, p.heads, p.q_tiles, p.longest_first);
  const int b = head / p.h_q;
  Place at{.b = b, .h = head - b * p.h_q, .row = q_tile * Tile::kRows};
  int last = p.s_kv, whole = p.s_kv;  // keys some row sees; keys all rows see
  if constexpr (kCausal) {
    const int diagonal = p.s_kv - p.s_q + 1 + at.row;
    last = min(p.s_kv, diagonal + Tile::kRows - 1);
    whole = min(p.s_kv, diagonal);
  }
  at.key_tiles = max(1, (last + Tile::kKeys - 1) / Tile::kKeys);
  at.first_masked = max(0, whole) / Tile::kKeys;
  at.part = part;
  if constexpr (Tile::kOptions.splits)
    if (part >= 0) {
      const int all = at.key_tiles;
      at.first = all * cut / p.parts, at.key_tiles = all * (cut + 1) / p.parts;
    }
  return at;
}

}  // namespace kvroof::kernels::flash_v3
