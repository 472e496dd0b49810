// Standalone softmax over rows of scores: how often each algorithm walks a row.
#pragma once
#include "model/attention/tiling.hpp"

namespace kvroof::attention {

/// y [b·h_q·s_q, s_kv] = softmax(x), one thread block a row, rows too long for registers.
///   safe     maximum, sum, scale: 3 reads + 1 write, 2 exponentials an element
///   online   maximum and sum in one walk, scale: 2 reads + 1 write, 3 exponentials an element
///   read = one walk (compulsory)    l2_to_sm = all walks
///   reread = what the later walks miss in L2, when the rows being worked on bring
///            (1 + kWriteCopies) / walks of themselves in between
/// options.tile describes a kernel: n elements raise the maximum together, so online takes 2 + 1/n
/// exponentials an element; whole warps issue them, so a row counts in steps of 32·n. Online, each
/// of row_lanes threads brings its own sum to the row's maximum; those that scale invert it.
/// Milakov & Gimelshein 2018 (arXiv:1805.02867) Algorithms 2 and 3: 4 against 3 accesses.
/// fp32 slots an element: subtract-and-scale per exponential, one add, one max, one multiply.
/// Options: online, tile.
Cost softmax(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o);

}  // namespace kvroof::attention
