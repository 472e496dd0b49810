#include "model/attention/balanced_split.hpp"

#include <algorithm>
#include <cstdint>

namespace kvroof::attention {
namespace {

/// Whole streams in order, each worker filled up to `capacity`; empty if that takes too many.
std::vector<int> whole_streams(const std::vector<int>& stream_first, int workers, int capacity) {
  std::vector<int> first{0};
  for (std::size_t s = 1; s < stream_first.size(); ++s) {
    if (stream_first[s] - stream_first[s - 1] > capacity) return {};
    if (stream_first[s] - first.back() > capacity) first.push_back(stream_first[s - 1]);
  }
  if (static_cast<int>(first.size()) > workers) return {};
  first.push_back(stream_first.back());
  return first;
}

}  // namespace

BalancedSplit balanced_split(std::span<const int> tiles_of_stream, int workers, int cut_cost) {
  BalancedSplit split;
  split.stream_first.push_back(0);
  for (const int tiles : tiles_of_stream)
    split.stream_first.push_back(split.stream_first.back() + std::max(1, tiles));
  const int total = split.stream_first.back();
  workers = std::clamp(workers, 1, std::max(1, total));

  const int even = (total + workers - 1) / workers;
  for (int capacity = even; capacity <= even + cut_cost && split.worker_first.empty(); ++capacity)
    split.worker_first = whole_streams(split.stream_first, workers, capacity);
  if (split.worker_first.empty())
    for (int w = 0; w <= workers; ++w)
      split.worker_first.push_back(static_cast<int>(std::int64_t{total} * w / workers));

  std::size_t w = 0;
  const auto& border = split.worker_first;
  for (std::size_t s = 0; s + 1 < split.stream_first.size(); ++s) {
    while (border[w + 1] <= split.stream_first[s]) ++w;
    const std::size_t first = w;
    while (border[w + 1] < split.stream_first[s + 1]) ++w;
    split.holders.push_back(static_cast<int>(w - first + 1));
    if (w > first) ++split.cut_streams, split.pieces += split.holders.back();
  }
  for (std::size_t i = 0; i + 1 < border.size(); ++i)
    split.longest = std::max(split.longest, border[i + 1] - border[i]);
  return split;
}

}  // namespace kvroof::attention
