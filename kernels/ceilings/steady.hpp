// Kernels launched without rest, one or several at the same time: what they do once the power limit
// has had time to act, and how fast it acts.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/case.hpp"
#include "kernels/ceilings/load.hpp"

namespace kvroof::kernels {

/// Loads that draw power together, each launched over and over on a stream of its own.
///   aside   operands that switch less than any kernel's, so that they tell no kernel's energy:
///           zeros; FP8 tiles multiplied by themselves again and again (a quarter less)
struct PowerLoad {
  std::string name;  // "bf16 + hbm read"
  std::function<std::vector<Load>()> make;
  bool aside = false;
  bool idle() const { return !make; }
};
/// Loads of known activity: nothing, each unit alone, the tensor cores on a part of the SMs and all
/// of them, and pairs. Those that this GPU cannot run are left out.
std::vector<PowerLoad> power_loads();

///   lead, window   seconds at work before the window, and measured
///   begin, end     called when the window opens and closes, with the GPU at work
/// On an H200 the governor acts within 0.1 s, but lets 5 % more through until about half a second.
struct SteadyTiming {
  double lead = 0.6, window = 0.7;
  std::function<void()> begin, end;
};

/// Seconds of one launch of each case in the window. settled: from the start of work until the
/// first case was as slow as that.
struct SteadyRun {
  std::vector<double> seconds;
  double settled = 0;
};
SteadyRun run_steady(std::span<const Case> cases, const SteadyTiming&);

}  // namespace kvroof::kernels
