// kvroof-probe calibrate: what our kernels reach, from records of validate. Needs no GPU.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cmath>
#include <map>
#include <numeric>
#include <sstream>

#include "cupti_probe/judge.hpp"
#include "cupti_probe/kernel_fit.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/verbs.hpp"
#include "model/profile.hpp"
#include "model/replace_file.hpp"
#include "model/user_error.hpp"

namespace kvroof::probe {
namespace {

void print_shapes(std::span<const TimedShape> shapes, const Machine& machine,
                  const KernelConstants& k) {
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const TimedShape& s = shapes[i];
    if (const auto t = launch_time(s.stages, machine, &k))
      fmt::print("  {:<6} {:>10} {:>10} {:>+7.1f} %   {}\n", is_held_out(i) ? "judged" : "fitted",
                 with_prefix(t->value, "s"), with_prefix(s.measured.value, "s"),
                 100 * (*t / s.measured - 1), s.args);
  }
}

/// "format=3" of "b=1 format=3 s_kv=8192": the arguments that pick an algorithm or a format rather
/// than a size.
std::string variant_of(const std::string& args) {
  std::istringstream words(args);
  std::string variant;
  for (std::string word; words >> word;)
    for (const char* key : {"format=", "fused=", "version=", "online=", "step="})
      if (word.starts_with(key)) variant += (variant.empty() ? "" : " ") + word;
  return variant;
}

/// Mean error on the judged half of each variant of a kernel that has more than one.
void print_variants(std::span<const TimedShape> shapes, const Machine& machine,
                    const KernelConstants& k) {
  std::map<std::string, std::vector<double>> errors;
  for (std::size_t i = 0; i < shapes.size(); ++i)
    if (const auto t = launch_time(shapes[i].stages, machine, &k); t && is_held_out(i))
      errors[variant_of(shapes[i].args)].push_back(std::abs(*t / shapes[i].measured - 1));
  if (errors.size() < 2) return;
  for (const auto& [variant, of] : errors)
    fmt::print("  {:<82} {:>3}: {:>5.1f} %\n", variant.empty() ? "the rest" : variant, of.size(),
               100 * std::accumulate(of.begin(), of.end(), 0.0) / static_cast<double>(of.size()));
}

}  // namespace

int calibrate(const CalibrateOptions& options, const std::string& command) {
  const Machine machine = to_machine(load_profile(profile_file(options.profile)));
  std::vector<std::string> order;
  std::map<std::string, std::vector<TimedShape>> by_kernel;
  for (TimedShape& shape : read_timed_shapes(options.records)) {
    std::vector<TimedShape>& shapes = by_kernel[shape.kernel];
    if (shapes.empty()) order.push_back(shape.kernel);
    shapes.push_back(std::move(shape));
  }
  for (const std::string& kernel : options.kernels)
    if (!by_kernel.contains(kernel))
      throw UserError(
          fmt::format("--kernels: expected one of {}, got '{}'", fmt::join(order, ", "), kernel));
  if (!options.kernels.empty()) order = options.kernels;
  if (order.empty()) throw UserError("--csv: no shape with its work and its time in these records");

  std::string text = fmt::format("# {}\n", command);
  text += "# fitted on shapes 0, 3, 4, 7, 8, … of each kernel, judged on shapes 1, 2, 5, 6, …\n";
  text += "kernel,compute,memory,ramp_s,block_s,overlap,fitted,error_fitted,judged,error_judged\n";
  fmt::print("{:<16} {:>8} {:>8} {:>9} {:>9} {:>8}   {:<16} {}\n", "kernel", "compute", "memory",
             "ramp", "block", "overlap", "fitted on", "judged on");
  bool good = true;
  for (const std::string& kernel : order) {
    const KernelFit fit = fit_kernel(kernel, by_kernel[kernel], machine);
    const KernelConstants& k = fit.constants;
    fmt::print(
        "{:<16} {:>8} {:>7.1f}% {:>9} {:>9} {:>8}   {:>2}: {:>5.1f} %     {:>3}: {:>5.1f} "
        "%{}\n",
        kernel, k.overlap ? "–" : fmt::format("{:.1f}%", 100 * k.compute), 100 * k.memory,
        with_prefix(k.ramp.value, "s"), with_prefix(k.block.value, "s"),
        k.overlap ? fmt::format("{:.0f} %", 100 * *k.overlap) : "–", fit.fitted,
        100 * fit.error_fitted, fit.judged, 100 * fit.error_judged,
        fit.error_judged > kTimeTolerance ? "  OFF" : "");
    print_variants(by_kernel[kernel], machine, k);
    if (options.shapes) print_shapes(by_kernel[kernel], machine, k);
    good = good && fit.error_judged <= kTimeTolerance;
    text += csv_row({kernel, csv_number(k.compute), csv_number(k.memory), csv_number(k.ramp.value),
                     csv_number(k.block.value), csv_number(k.overlap), std::to_string(fit.fitted),
                     csv_number(fit.error_fitted), std::to_string(fit.judged),
                     csv_number(fit.error_judged)});
  }
  fmt::print(
      "compute and memory: shares of {}'s datasheet peaks; errors: mean |predicted / measured "
      "- 1|\n",
      machine.id);
  if (!options.write.empty()) replace_file(options.write, text);
  return good ? 0 : 1;
}

}  // namespace kvroof::probe
