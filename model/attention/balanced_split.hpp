// Stream-K for decode: the key tiles of all caches in one row, cut into equal ranges.
#pragma once
#include <span>
#include <vector>

namespace kvroof::attention {

/// A stream is one cache that a thread block walks: a request times a K/V head (or a block of query
/// rows). Tiles of all streams stand end to end; worker w takes tiles [first[w], first[w + 1]).
/// A stream inside one range is finished by its worker; one that a border cuts leaves a partial
/// result in each of its workers, merged afterwards.
struct BalancedSplit {
  std::vector<int> stream_first;  // [streams + 1] first tile of each stream
  std::vector<int> worker_first;  // [workers + 1] first tile of each worker; none is empty
  std::vector<int> holders;       // [streams] workers that hold a piece of each stream
  int pieces = 0;                 // partial results: (worker, cut stream) pairs
  int cut_streams = 0;
  int longest = 0;  // tiles of the busiest worker
};

/// At most `workers` ranges. Equal ranges, unless borders between streams alone come within
/// `cut_cost` tiles of them (what a cut costs a worker: loading q twice, writing and merging
/// partial results). Streams without a key count as one tile, so that their output is written.
BalancedSplit balanced_split(std::span<const int> tiles_of_stream, int workers, int cut_cost);

}  // namespace kvroof::attention
