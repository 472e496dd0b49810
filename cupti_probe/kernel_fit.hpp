// What our own kernels reach: the constants of the time law, one set a kernel, fitted on half of
// its measured shapes and judged on the other half.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cupti_probe/op_record.hpp"
#include "model/kernel_time.hpp"
#include "model/machine.hpp"

namespace kvroof::probe {

///   error_*   mean |predicted / measured - 1| over the halves
struct KernelFit {
  std::string kernel;
  KernelConstants constants;
  int fitted = 0, judged = 0;
  double error_fitted = 0, error_judged = 0;
};

/// Σ kernel_time() of a launch's kernels. Without constants, or where an op counts its cycles:
/// time() less the launch gap, which counters do not see. nullopt: the machine lacks a unit.
std::optional<Seconds> launch_time(std::span<const Op> stages, const Machine& machine,
                                   const KernelConstants* constants);

/// Whether shape i of a kernel judges the fit, rather than making it: 1, 2, 5, 6, …
constexpr bool is_held_out(std::size_t i) { return (i + i / 2) % 2 != 0; }

/// Four constants by least squares of log(predicted / measured) over shapes 0, 3, 4, 7, 8, …
/// (damped Gauss-Newton), held near what is usual where the shapes do not tell: 0.5 of the shorter
/// pipes hidden, or 80 % of the tensor peak; 93 % of HBM's; 3 us a launch, 0.5 us a wave. Judged on
/// shapes 1, 2, 5, 6, …: neighbours in the catalogue are alike, so that each half has both.
KernelFit fit_kernel(const std::string& kernel, std::span<const TimedShape> shapes,
                     const Machine& machine);

/// The file that calibrate writes and validate --fits reads: kernel,compute,memory,ramp_s,block_s,…
/// No file, no constants.
std::vector<KernelFit> read_fits(const std::string& file);
/// The file to take for a profile: `asked`, else reports/ID/kernel_fits.csv beside the profiles;
/// empty without one.
std::string fits_file(const std::string& asked, const std::string& profile_id);
/// nullptr for a kernel that the file does not have.
const KernelConstants* find_fit(std::span<const KernelFit> fits, std::string_view kernel);

}  // namespace kvroof::probe
