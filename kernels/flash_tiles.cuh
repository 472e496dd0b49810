// The tiles of flash_loop for each head size, shared by the prefill variants.
#pragma once
#include <stdexcept>

#include "kernels/flash_loop.cuh"
#include "model/attention/variant.hpp"

namespace kvroof::kernels {

// d 64, 128: 32 rows a warp, so that each K and V fragment feeds two products; O and S then leave
// no room for Q, which is read again from shared memory per key tile. d 256: O of 16 rows fills
// half of the registers.
using FlashTile64 = FlashTile<64, 128, 128, 4, false, 2>;
using FlashTile128 = FlashTile<128, 128, 64, 4, false, 2>;
using FlashTile256 = FlashTile<256, 64, 32, 4, true, 2>;
// 64 rows: for calls that have no more (drafts to verify, decode rows beside prompts).
using FlashSmallTile64 = FlashTile<64, 64, 128, 4, true, 2>;
using FlashSmallTile128 = FlashTile<128, 64, 64, 4, true, 2>;

/// f.operator()<Tile>() for the tile of a head size. Throws for one other than 64, 128, 256.
template <class F>
auto with_flash_tile(int d, const F& f) {
  switch (d) {
    case 64:
      return f.template operator()<FlashTile64>();
    case 128:
      return f.template operator()<FlashTile128>();
    case 256:
      return f.template operator()<FlashTile256>();
  }
  throw std::invalid_argument("flash attention: head size must be 64, 128 or 256");
}

/// The same, 64 rows where the call has no more than that.
template <class F>
auto with_flash_tile(int d, std::int64_t rows, const F& f) {
  if (rows <= 64 && d == 64) return f.template operator()<FlashSmallTile64>();
  if (rows <= 64 && d == 128) return f.template operator()<FlashSmallTile128>();
  return with_flash_tile(d, f);
}

/// A tile as the model counts it: the four lanes that hold a row each compute its corrections, and
/// its 1 / l at the end (log l is a polynomial).
template <class T>
attention::Tile flash_model_tile() {
  return {.m = T::kM,
          .n = T::kN,
          .ctas_per_sm = T::kCtasPerSm,
          .mma_rows = 16 * T::kRowTiles,
          .row_lanes = 4,
          .row_ends = 4,
          .mma_sync = true};
}

}  // namespace kvroof::kernels
