// A hardware profile against this GPU, figure by figure,
// and what each difference does to predictions.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cupti_probe/ceiling_keys.hpp"
#include "cupti_probe/judge.hpp"
#include "model/profile.hpp"

namespace kvroof::probe {

/// One figure. `source` says what the profile offers: measured against measured must agree within
/// the key's tolerance; a datasheet peak must lie above the measurement (2 % for rounding) and
/// below twice the measurement, else it is another GPU's; without either the line stays open. What
/// the host's speed decides must lie within the tolerance of the range its repeats cover.
struct ProfileCheck {
  const CeilingKey* key = nullptr;
  std::optional<double> profile;
  Source source = Source::measured;
  MeasuredFigure now;
  Verdict verdict = Verdict::open;
  std::string consequence;  // in words; empty below 1 %
  double deviation() const { return profile ? now.value / *profile - 1 : 0; }
};

/// Every ceiling that was measured, in the order of ceiling_keys().
std::vector<ProfileCheck> compare_profile(const HardwareProfile& profile,
                                          std::span<const kernels::Ceiling> rows);

}  // namespace kvroof::probe
