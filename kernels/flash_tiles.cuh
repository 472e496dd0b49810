// The tiles of flash_loop for each head size, shared by the prefill variants.
#pragma once
#include <stdexcept>

#include "kernels/flash_loop.cuh"
#include "model/attention/variant.hpp"

namespace kvroof::kernels {

// d 64, 128: 32 rows a warp, so that each K and V fragment feeds two products; O and S then leave
// no room for Q, which is read again from shared memory per key tile. d 256: O of 16 rows fills
// half of the registers, and two stages of 64 keys would leave room for one block an SM.
inline constexpr FlashShape kFlash64{.d = 64, .m = 128, .n = 128};
inline constexpr FlashShape kFlash128{.d = 128, .m = 128, .n = 64};
inline constexpr FlashShape kFlash256{
    .d = 256, .m = 64, .n = 64, .q_steps = 2, .stages = 1, .ahead = 4};
// 64 rows: for calls that have no more (drafts to verify, decode rows beside prompts).
inline constexpr FlashShape kFlashSmall64{.d = 64, .m = 64, .n = 128, .q_steps = 4};
inline constexpr FlashShape kFlashSmall128{.d = 128, .m = 64, .n = 64, .q_steps = 8};

/// f.operator()<Tile>() for the tile of a head size. Throws for one other than 64, 128, 256.
template <class Number = Bf16, class F>
auto with_flash_tile(int d, const F& f) {
  switch (d) {
    case 64:
      return f.template operator()<FlashTile<kFlash64, Number>>();
    case 128:
      return f.template operator()<FlashTile<kFlash128, Number>>();
    case 256:
      return f.template operator()<FlashTile<kFlash256, Number>>();
  }
  throw std::invalid_argument("flash attention: head size must be 64, 128 or 256");
}

/// The same, 64 rows where the call has no more than that.
template <class F>
auto with_flash_tile(int d, std::int64_t rows, const F& f) {
  if (rows <= 64 && d == 64) return f.template operator()<FlashTile<kFlashSmall64>>();
  if (rows <= 64 && d == 128) return f.template operator()<FlashTile<kFlashSmall128>>();
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
