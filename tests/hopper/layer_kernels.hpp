// Kernels that exercise one part of kernels/hopper each; host code in plain C++.
#pragma once
#include "kernels/data.hpp"

namespace kvroof::kernels::hopper {

/// Rows [row, row + 16) of head 1 of x [2, s, 128] bf16 by TMA; `image` is shared memory
/// afterwards, byte for byte; `copy` [2, s, 128] gets the tile back by a TMA store.
void tma_round_trip(const Buffer& x, int s, int row, const Buffer& image, const Buffer& copy);

/// o [64, 128] = bf16(q · k^T) · v for q [64, 128], k [n, 128], v [n, 128] bf16; n = 80 or 176.
/// The first product takes both operands from shared memory, the second P from registers.
void chained_products(const Buffer& q, const Buffer& k, const Buffer& v, int n, const Buffer& o);

/// Two warpgroups hand a counter to each other `turns` times through named barriers; `order` gets
/// who wrote each turn.
void take_turns(int turns, const Buffer& order);

}  // namespace kvroof::kernels::hopper
