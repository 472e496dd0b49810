#include "kernels/balanced_split.hpp"

#include <algorithm>
#include <cstdint>

#include "kernels/data.hpp"

namespace kvroof::kernels {

PlannedSplit plan_split(std::span<const int> keys, int tile, int workers, int cut_cost) {
  std::vector<int> tiles;
  for (const int k : keys) tiles.push_back((k + tile - 1) / tile);
  PlannedSplit planned{.split = attention::balanced_split(tiles, workers, cut_cost)};
  const std::vector<int>&stream_first = planned.split.stream_first,
        &worker_first = planned.split.worker_first;

  const auto holder = [](const std::vector<int>& first, int t) {  // the range that tile t lies in
    return static_cast<int>(std::upper_bound(first.begin(), first.end(), t) - first.begin()) - 1;
  };
  std::vector<int4> streams;
  for (std::size_t s = 0; s < keys.size(); ++s)
    streams.push_back({stream_first[s], keys[s], holder(worker_first, stream_first[s]),
                       holder(worker_first, stream_first[s + 1] - 1)});
  std::vector<int2> ranges;
  for (const int t : worker_first) ranges.push_back({t, holder(stream_first, t)});
  planned.streams = to_device(streams), planned.workers = to_device(ranges);
  planned.plan = {planned.streams.as<int4>(), planned.workers.as<int2>(),
                  static_cast<int>(worker_first.size()) - 1};
  BalancedPlan& plan = planned.plan;
  bool regular = std::int64_t{stream_first.back()} * plan.num_workers < INT32_MAX;
  for (const int k : keys) regular &= k == keys[0];
  for (int w = 0; w <= plan.num_workers; ++w)
    regular &= worker_first[static_cast<std::size_t>(w)] ==
               static_cast<int>(std::int64_t{stream_first.back()} * w / plan.num_workers);
  if (regular) {
    plan.tiles = stream_first[1], plan.keys = keys[0], plan.total = stream_first.back();
    plan.by_tiles = Divisor(plan.tiles), plan.by_total = Divisor(plan.total);
    plan.by_workers = Divisor(plan.num_workers);
  }
  return planned;
}

}  // namespace kvroof::kernels
