// The one harness for all kernels: how they are timed, and what state L2 is in when they start.
//
//   short kernels   many launches per pair of events (a pair around one launch reads 6-8 us too
//                   long), by default as nodes of a CUDA graph, so that the host cannot be the
//                   limit
//   L2 warm         the launches follow one another
//   L2 cold         before each launch a kernel reads more than twice L2 of clean data: nothing of
//                   the input is cached and no dirty line of an earlier kernel is left to write
//                   back
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <vector>

#include "kernels/case.hpp"

namespace kvroof::kernels {

/// Summary of repeated samples, in the unit of the samples.
struct Stats {
  int repeats = 0;
  double median = 0, p5 = 0, p95 = 0, min = 0, max = 0, mean = 0;
  /// Width of the central 90 %, relative to the median.
  double spread() const { return median > 0 ? (p95 - p5) / median : 0; }
};
/// Percentiles by linear interpolation between order statistics; all zero for no samples.
Stats stats(std::vector<double> samples);
/// quantity / time: the percentiles change places; `mean` is quantity over the mean time.
Stats rate(double quantity, const Stats& seconds);

enum class L2 { warm, cold };
enum class Submit { graph, stream };

struct Timing {
  int warmup = 3;    // launches before the first sample
  int repeats = 30;  // samples
  int launches = 0;  // per sample; 0: as many as fill `sample_seconds`
  double sample_seconds = 2e-3;
  L2 l2 = L2::warm;  // cold: one launch per sample, the cost of an empty launch taken off
  Submit submit = Submit::graph;
  double pause_seconds = 0;  // idle before each sample, so that power and heat do not build up
  std::function<void()> before_samples;  // after warm-up, on an idle GPU
};

using Launch = std::function<void(cudaStream_t)>;

/// Seconds per launch.
Stats time_launches(const Launch& launch, const Timing& = {});
inline Stats time_case(const Case& c, const Timing& t = {}) { return time_launches(c.launch, t); }

/// Seconds per launch when launch i works on data set i mod n: with n data sets of together more
/// than twice L2 every launch finds its inputs in HBM, back to back, without a flush in between.
Stats time_rotating(const std::vector<Launch>& launches, const Timing& = {});

/// Reads more than twice L2 of clean data on `stream`; the first call allocates the data.
void flush_l2(cudaStream_t stream);

}  // namespace kvroof::kernels
