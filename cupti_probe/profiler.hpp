// Collection of counters on the GPU: CUPTI's Range Profiler behind two classes.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cupti_probe/exclusive.hpp"
#include "cupti_probe/plan.hpp"

namespace kvroof::probe {

/// The GPU this process measures on: its context, CUPTI's name for the chip, what may be counted.
struct Target {
  CUcontext context = nullptr;
  std::string chip;  // "GH100"
  std::vector<std::uint8_t> availability;
};

/// Throws Unavailable where there is no GPU, or none that this build has code for; touches no
/// counters and no CUPTI.
void require_gpu();

/// Opened once a process. Throws Unavailable: no GPU, no CUPTI, no permission, another owner.
const Target& target();

/// each_kernel   one range per kernel launch; elapsed time is tight (AutoRange). Kernels run one by
///               one, so no graphs and no kernels that wait for one another.
/// whole         one range around everything, graphs included (UserRange): counts are exact, but
///               elapsed time holds 50-70 us of submission, so figures that need time stay empty.
enum class Scope { each_kernel, whole };

/// Counters of one range, in the order of the plan's metrics.
struct Reading {
  std::string range;
  std::vector<double> metrics;
};

/// Collects one plan; one at a time in a process.
/// The profiler is enabled from open() to destruction.
class Collector {
 public:
  explicit Collector(Plan plan, Scope scope, std::size_t max_ranges);
  ~Collector();
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  const Plan& plan() const { return plan_; }

  /// Calls work() once per pass; it must launch the same kernels each time. The caller compares the
  /// number of readings with the kernels it launched (each_kernel), since with graphs the profiler
  /// can lose every range without an error. Throws Broken for dropped ranges, for none at all, and
  /// for more or fewer than one of Scope::whole.
  std::vector<Reading> collect(const std::function<void()>& work);
  /// Scope::whole: one range around each of `works`, and before() ahead of each, outside its range.
  std::vector<Reading> collect(std::span<const std::function<void()>> works,
                               const std::function<void()>& before);

 private:
  void configure();
  /// launch_all() until every pass is in, and the ranges it left; throws Broken unless there are
  /// `expected` (0: some).
  std::vector<Reading> passes(const std::function<void()>& launch_all, std::size_t expected);
  Claim claim_;
  Plan plan_;
  Scope scope_;
  std::size_t max_ranges_;
  CUpti_RangeProfiler_Object* profiler_ = nullptr;
  std::vector<std::uint8_t> data_;  // CUPTI writes here until Disable
};

}  // namespace kvroof::probe
