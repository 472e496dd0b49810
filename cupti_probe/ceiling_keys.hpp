// Which measured ceiling answers which figure of a profile's `measured` block, and how far two
// measurements of it may differ. The one table behind `ceilings --write` and `validate`.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/ceilings/ceilings.hpp"
#include "model/quantity.hpp"

namespace kvroof::probe {

/// What a wrong figure does to predictions: time of the ops it bounds scales with its inverse, each
/// kernel gains its difference, re-reads begin at another size, or nothing but a reference.
enum class Effect { rate, per_kernel, capacity, none };

/// What of a ceiling becomes the figure: its value, or the SM clock it ran at.
enum class Part { value, sm_clock };

struct CeilingKey {
  std::string_view key;       // in `measured`
  std::string_view ceilings;  // names of kernels::Ceiling, blank-separated: the best of them counts
  std::optional<Measure> measure;  // nullopt: a plain number
  double tolerance;                // relative, between two measurements
  Effect effect;
  std::string_view who;  // what the figure bounds, in words
  Part part = Part::value;
  bool host = false;  // the host's speed decides: two hosts differ, and one differs from itself
};

std::span<const CeilingKey> ceiling_keys();

/// Whether more is better (rates, capacities) or less (seconds, cycles).
bool more_is_better(const kernels::Ceiling& c);

/// The best of the named ceilings; nullptr where none was measured.
const kernels::Ceiling* best(std::string_view names, std::span<const kernels::Ceiling> all);

/// A figure in the base unit of the profile,
/// with half the width of the 95 % interval of its median.
///   low, high   fastest and 95th percentile of the repeats
struct MeasuredFigure {
  double value = 0, ci95 = 0, low = 0, high = 0;
  const kernels::Ceiling* from = nullptr;
};

/// nullopt where it was not measured or needs a clock nobody read. Cycles become seconds at the SM
/// clock of the same run.
std::optional<MeasuredFigure> figure_of(const CeilingKey& key,
                                        std::span<const kernels::Ceiling> all);

/// Half width of the 95 % interval of a median from the central 90 % of n samples, as if they were
/// normal: sigma = (p95 − p5) / 3.29, 1.96 · 1.2533 · sigma / sqrt(n).
double ci95_of_median(const kernels::Stats& s);

/// "4.31 TB/s", or the plain number; what the profile reader reads back.
std::string profile_text(const CeilingKey& key, double value);

}  // namespace kvroof::probe
