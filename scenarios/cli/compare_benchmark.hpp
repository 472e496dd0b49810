// A prediction held against the result file of a benchmark.
#pragma once
#include <string>

#include "scenarios/cli/resolve.hpp"

namespace kvroof::cli {

/// Simulates the run that the file describes and prints predicted, measured, error. 1 when a
/// throughput, TTFT or TPOT is off by more than `tolerance`.
int compare_with_benchmark(const Inputs& inputs, const std::string& file, double tolerance,
                           const std::string& format);

}  // namespace kvroof::cli
