// The plan of a balanced split on the device, made once for all layers of a step.
#pragma once
#include <cuda_bf16.h>

#include <span>

#include "kernels/device.hpp"
#include "kernels/divisor.cuh"
#include "model/attention/balanced_split.hpp"

namespace kvroof::kernels {

/// What kernels read of it.
struct BalancedPlan {
  /// {first tile, keys, first worker, last worker} of each stream
  const int4* streams;
  /// {first tile, its stream} of each worker, and {all tiles, streams}
  const int2* workers;
  int num_workers;
  /// Streams of one length cut into equal ranges need no tables: tiles and keys of each stream, and
  /// tiles in all; tiles = 0: read the tables.
  int tiles = 0, keys = 0, total = 0;
  Divisor by_tiles, by_total, by_workers;
};

/// Plan and the memory it lies in.
struct PlannedSplit {
  attention::BalancedSplit split;
  Buffer streams, workers;
  BalancedPlan plan;
};
/// `keys` of each stream, `tile` keys a tile; workers and cut_cost as in balanced_split().
PlannedSplit plan_split(std::span<const int> keys, int tile, int workers, int cut_cost);

/// part_o [2·workers, rows, d] fp32, part_lse2 [2·workers, rows] -> o [streams·rows, d] bf16 and
/// lse (natural logarithm, may be null), for the streams that were cut.
/// Stream s = request·groups + group holds rows [group·rows, ...) of the request's `request_rows`.
struct MergeParams {
  BalancedPlan plan;
  const float *part_o, *part_lse2;
  __nv_bfloat16* o;
  float* lse;
  int rows, groups, request_rows;
};

}  // namespace kvroof::kernels
