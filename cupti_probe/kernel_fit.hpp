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

///   compute, memory, ramp, block   as in ClassFit: shares of the datasheet's tensor and HBM peaks,
///                           what a launch and what a wave of thread blocks cost beside their work
///   overlap                 share of exponentials and FP32 work that hides under tensor work;
///                           nullopt: the kernel has none, or says so itself
///   error_*                 mean |predicted / measured - 1| over the halves
struct KernelFit {
  std::string kernel;
  double compute = 1, memory = 1;
  Seconds ramp, block;
  std::optional<double> overlap;
  int fitted = 0, judged = 0;
  double error_fitted = 0, error_judged = 0;
};

/// Σ time() of the stages with the kernel's constants in place of their classes', launch gaps left
/// out: counters see none. nullptr: the machine's own constants. nullopt: the machine lacks a unit.
std::optional<Seconds> kernel_time(std::span<const Op> stages, const Machine& machine,
                                   const KernelFit* fit);

/// Least squares of log(predicted / measured) over shapes 0, 3, 4, 7, 8, … (damped Gauss-Newton),
/// held near the machine's class constants (and 0.5 us a wave) where the shapes do not tell: one
/// standard deviation is a factor of 1.5 in the shares, 1.6 in the ramp, 4 in the block. Judged on
/// shapes 1, 2, 5, 6, …: neighbours in the catalogue are alike, so that each half has both.
KernelFit fit_kernel(const std::string& kernel, std::span<const TimedShape> shapes,
                     const Machine& machine);

/// The file that calibrate writes and validate --fits reads: kernel,compute,memory,ramp_s,block_s,…
std::vector<KernelFit> read_fits(const std::string& file);
/// The file to take for a profile: `asked`, else reports/ID/kernel_fits.csv beside the profiles;
/// empty without one.
std::string fits_file(const std::string& asked, const std::string& profile_id);
const KernelFit* find_fit(std::span<const KernelFit> fits, std::string_view kernel);

}  // namespace kvroof::probe
