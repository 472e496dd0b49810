// All ceilings of this GPU, each believed only if counters saw the work it claims.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "cupti_probe/judge.hpp"
#include "kernels/ceilings/ceilings.hpp"

namespace kvroof::probe {

/// Counters of one catalogue kernel that ceilings rest on.
struct Confirmation {
  std::string entry;
  kernels::Args args;
  std::vector<Check> checks;
  double sm_clock_hz = 0, dram_clock_hz = 0;
  bool ok() const;
};

struct CeilingRun {
  std::vector<kernels::Ceiling> rows;
  std::vector<Confirmation> confirmed;  // empty without counters
  std::vector<std::string> left_out;    // "tensor: needs sm_90a", and why
};

/// What is wrong with a row, in a few words; empty: nothing. Above its physical bound, or its
/// kernel did not do the work that the rate is made of.
std::string fault(const kernels::Ceiling& row, const CeilingRun& run);

/// The rows without fault: the only ones that become figures.
std::vector<kernels::Ceiling> sound_rows(const CeilingRun& run);

/// Names of which no row is without fault.
std::vector<std::string> unsound_names(const CeilingRun& run);

/// Throws UserError for a name that is no group of ceilings.
void check_ceiling_groups(const std::vector<std::string>& only);

/// Measures every group (or those named in `only`), launch latency first, in a process without
/// counters; then counts the kernel behind the best row of each name, and behind the next best
/// while counters contradict.
///   progress   told the group about to run
CeilingRun run_ceilings(const std::vector<std::string>& only, bool counters,
                        const std::function<void(const std::string&)>& progress);

}  // namespace kvroof::probe
