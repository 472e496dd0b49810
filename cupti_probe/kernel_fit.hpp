// What our own kernels reach: the constants of the time law, one set a kernel, fitted on half of
// its measured shapes and judged on the other half.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cupti_probe/op_record.hpp"
#include "model/machine.hpp"

namespace kvroof::probe {

///   compute, memory, ramp   as in ClassFit: shares of the datasheet's tensor and HBM peaks, and
///                           what a launch costs beside its work
///   overlap                 share of exponentials and FP32 work that hides under tensor work;
///                           nullopt: the kernel has none, or says so itself
///   error_*                 mean |predicted / measured - 1| over the halves
struct KernelFit {
  std::string kernel;
  double compute = 1, memory = 1;
  Seconds ramp;
  std::optional<double> overlap;
  int fitted = 0, judged = 0;
  double error_fitted = 0, error_judged = 0;
};

/// Σ time() of the stages with the kernel's constants in place of their classes', launch gaps left
/// out: counters see none. nullptr: the machine's own constants. nullopt: the machine lacks a unit.
std::optional<Seconds> kernel_time(std::span<const Op> stages, const Machine& machine,
                                   const KernelFit* fit);

/// Least squares of log(predicted / measured) over shapes 0, 2, 4, … (damped Gauss-Newton), held
/// near the machine's class constants where the shapes do not tell: one standard deviation is a
/// factor of 1.5 in the shares, 3 in the ramp. Judged on shapes 1, 3, 5, …
KernelFit fit_kernel(const std::string& kernel, std::span<const TimedShape> shapes,
                     const Machine& machine);

/// The file that calibrate writes and validate --fits reads: kernel,compute,memory,ramp_s,…
std::vector<KernelFit> read_fits(const std::string& file);
const KernelFit* find_fit(std::span<const KernelFit> fits, std::string_view kernel);

}  // namespace kvroof::probe
