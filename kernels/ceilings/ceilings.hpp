// Measured ceilings: what this GPU's units really deliver,
// each by a micro-kernel that does nothing else.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "kernels/bench.hpp"
#include "kernels/case.hpp"

namespace kvroof::kernels {

/// One figure, in the base unit.
struct Ceiling {
  std::string name;     // "hbm_read"; rows of one name are variants, the best one is the ceiling
  std::string variant;  // "bulk 32 KiB x 6", "footprint 16 MiB"; empty if there is only one way
  std::string unit;     // "B/s" "FLOP/s" "op/s" "FLOP/clk/SM" "s" "cycle" "B"
  Stats value;
  double bound = 0;        // physical limit at the clock of the run, same unit; 0: none is known
  std::string bound_rule;  // "132 SM · 4096 FLOP/clk · 1.815 GHz"
  double sm_clock_hz = 0;  // read by the kernel while it ran; 0: not read
  double intended = 0;  // bytes, FLOP or instructions of one launch, as `entry` states in its Work
  std::string entry;    // catalogue kernel to run under counters, so that `intended` is confirmed;
  Args args;            // its shape. Empty entry: a time without work to count
};

/// A few ceilings that are measured together.
struct CeilingGroup {
  std::string name;  // "launch", "hbm", "l2", …
  std::string title;
  std::function<std::vector<Ceiling>()> measure;  // throws NotOnThisGpu where it cannot run
};

/// A kernel that does nothing: what a launch costs, as counters see it.
Case empty_case();

/// In the order to run them: launch latency first, since it is only right in a process in which no
/// tracing and no counters have been enabled yet.
const std::vector<CeilingGroup>& ceiling_groups();

}  // namespace kvroof::kernels
