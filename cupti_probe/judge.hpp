// Predicted against counted: the one place that knows which counter answers which count of Work,
// and how far they may differ.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cupti_probe/count.hpp"
#include "model/op.hpp"

namespace kvroof::probe {

/// How far counts and times may differ from the model, relative. Products read more as their CTAs
/// drift apart from wave to wave.
inline constexpr double kReadTolerance = 0.02, kProductReadTolerance = 0.03;
inline constexpr double kWrittenTolerance = 0.05, kTrafficTolerance = 0.05, kExpTolerance = 0.01;
inline constexpr double kTimeTolerance = 0.15;

/// known: off, within what the table of exceptions explains; open: not judged here
enum class Verdict { ok, off, known, open };

/// "ok", "OFF", "known", "–"
const char* word(Verdict v);

/// One quantity of one kernel.
///   tolerance   relative; 0: equal to the last unit
///   slack       absolute, for counts whose noise does not shrink with the kernel
struct Check {
  std::string quantity, unit;
  std::optional<double> predicted, measured;
  double tolerance = 0, slack = 0;
  Verdict verdict = Verdict::open;
  std::string note;
  /// measured / predicted; nullopt where either is missing or nothing was predicted.
  std::optional<double> ratio() const;
};

/// Sets the verdict from numbers and tolerances.
Check judged(Check check);

/// Counts of one cold launch against the op's Work.
///   executed FLOP   tensor counters; exact. fp16, tf32 and int8 through mma.sync are in group
///                   tensor only: pass its counts as `tensor`
///   HBM read        2 %; compulsory plus re-reads
///   HBM written     5 %; until a flush behind the kernel has drained L2, if the counts know it
///   L2 to SM        5 %; what SMs received, if `l2` has it. The sectors that L2 served are shown,
///                   not judged: equal reads of neighbouring SMs merge before they reach it
///   exponentials    1 %; the XU pipe also runs conversions, so a kernel without any stays open
///   shared memory   shown, not judged: bank conflicts and staging are the kernel's own affair
///   time            15 %; `predicted_time` of the kernels alone, launch gaps left out
///   kernels         launches of the op; exact
std::vector<Check> check_kernel(const Op& op, const Counts& roofline, const Counts* tensor,
                                std::optional<Seconds> predicted_time, const Counts* l2 = nullptr);

/// True if `op`'s tensor FLOPs are not in group roofline on this chip.
bool needs_tensor_group(const Op& op, std::string_view chip);

/// A load kernel of FMAs alone: instructions of group fp32 (SASS counters), two FLOP each; exact.
Check check_fma(const Op& op, const Counts& fp32);

}  // namespace kvroof::probe
