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
struct PowerLoad {
  std::string name;  // "bf16 66 SMs + hbm"
  std::function<std::vector<Load>()> make;
  bool idle() const { return !make; }
};
/// Loads of known activity: nothing, each unit alone, the tensor cores on a part of the SMs and all
/// of them, and pairs. Those that this GPU cannot run are left out.
std::vector<PowerLoad> power_loads();

///   rest, lead, window   seconds idle before single launches, at work before the window, measured
///   begin, end           called when the window opens and closes, with the GPU at work
struct SteadyTiming {
  double rest = 0.08, lead = 0.6, window = 1.0;
  std::function<void()> begin, end;
};

/// Seconds of one launch of each case: after a rest (all cases starting together), and in the
/// window. settled: from the start of work until the first case stayed as slow as in the window.
struct SteadyRun {
  std::vector<double> rested, steady;
  double settled = 0;
};
SteadyRun run_steady(std::span<const Case> cases, const SteadyTiming&);

}  // namespace kvroof::kernels
