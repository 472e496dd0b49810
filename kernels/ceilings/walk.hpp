// Which tile of the data a block touches at each of its steps,
// shared by the loads that read and write.
#pragma once
#include "kernels/case.hpp"

#ifdef __CUDACC__
#define KVROOF_HOST_DEVICE __host__ __device__
#else
#define KVROOF_HOST_DEVICE
#endif

namespace kvroof::kernels {

/// Block i touches tile (first(i) + step·stride) mod tiles at each of `steps` steps.
///   interleaved   first = i, stride = blocks: neighbouring blocks touch neighbouring tiles
///   blocked       first = i·steps, stride = 1: each block walks its own stretch
///   shared        first = i·tiles/blocks, stride = 1, over all tiles: every block reads
///                 everything, each from another start, so that a line's reuse distance is the
///                 footprint
enum class Order { interleaved, blocked, shared };

struct Walk {
  Order order = Order::interleaved;
  long long tiles = 0, steps = 0;  // steps: per block
};

/// The tile of the current step.
struct Cursor {
  long long tile, stride, tiles;

  KVROOF_HOST_DEVICE Cursor(const Walk& w, long long block, long long blocks)
      : tile(w.order == Order::interleaved ? block % w.tiles
             : w.order == Order::blocked   ? block * w.steps % w.tiles
                                           : block * w.tiles / blocks),
        stride(w.order == Order::interleaved ? blocks % w.tiles : 1),
        tiles(w.tiles) {}
  KVROOF_HOST_DEVICE void next() {
    tile += stride;
    if (tile >= tiles) tile -= tiles;
  }
};

}  // namespace kvroof::kernels
