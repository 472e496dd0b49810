// A kernel under counters: L2 state under control, several launches, figures of one launch.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cupti_probe/profiler.hpp"
#include "kernels/bench.hpp"
#include "kernels/case.hpp"
#include "kernels/device.hpp"

namespace kvroof::probe {

/// Metrics of several kernels as if they were one: counts and cycles add, clocks and percentages
/// are means weighted by gpu__time_duration (plain means if the group lacks it), peaks stay.
///   kernels [n][group.metrics.size()]
std::vector<double> combine(const ChipGroup& group, std::span<const std::vector<double>> kernels);

struct CountOptions {
  kernels::L2 l2 = kernels::L2::cold;  // cold: a flush with clean data before each launch
  int launches = 5;                    // counted; warm runs one more first
  Scope scope = Scope::each_kernel;
  bool write_back = false;  // cold only: one more collection for Counts::written_back
};

/// A figure over the counted launches; nullopt where the scope or the chip cannot tell.
struct FigureStats {
  std::optional<double> median, min, max;
};

/// What one launch of a case did.
///   figures       [group.figures.size()], all kernels of the launch together
///   kernels       the same, kernel by kernel, of the last launch; empty for Scope::whole
///   written_back  HBM bytes written from the start of a launch to the end of a flush behind it:
///                 what the kernel wrote in the end, dirty lines it left in L2 included
struct Counts {
  ChipGroup group;
  std::size_t passes = 0;
  int launches = 0;
  std::size_t kernels_per_launch = 0;  // as counted; 0 for Scope::whole
  std::vector<FigureStats> figures;
  std::vector<std::vector<std::optional<double>>> kernels;
  std::optional<double> written_back;
  /// Median of a figure by name; nullopt if unknown.
  std::optional<double> operator[](std::string_view name) const;
};

/// The group on this GPU's chip, planned with what this device lets be counted.
Plan plan_here(const Group& group);

/// Counts case after case with one collector: enabling the profiler and its first collection take
/// 0.18 s, each further collection 0.03 s. Only one Counter or WriteBack can live at a time.
class Counter {
 public:
  ///   most_kernels   of one launch of any case to come; options.write_back is not looked at
  Counter(const Group& group, const CountOptions& options, int most_kernels);
  Counts operator()(const kernels::Case& c);

 private:
  CountOptions options_;
  std::size_t bursts_;
  kernels::Stream stream_;
  Collector collector_;
};

/// Counts::written_back, case after case: the median of three launches.
class WriteBack {
 public:
  WriteBack();
  double operator()(const kernels::Case& c);

 private:
  kernels::Stream stream_;
  Collector collector_;
  std::size_t metric_;
};

/// A stream of launches is counted in one collection: [flush] launch [flush] launch … Throws Broken
/// where the ranges do not divide by the launches.
Counts count(const kernels::Case& c, const Group& group, const CountOptions& options = {});

}  // namespace kvroof::probe
