// The two parts of kvroof-probe validate, and what they share.
#pragma once
#include <span>
#include <string>

#include "cupti_probe/judge.hpp"
#include "cupti_probe/record.hpp"
#include "cupti_probe/verbs.hpp"
#include "kernels/case.hpp"
#include "model/profile.hpp"

namespace kvroof::probe {

/// How many lines were judged, how many of them were off, and how many of those are explained.
struct Tally {
  int judged = 0, off = 0, known = 0;
  void add(Verdict v) {
    judged += v != Verdict::open;
    off += v == Verdict::off;
    known += v == Verdict::known;
  }
};

/// Part A: each ceiling measured now against the profile's figure. record: null for none.
void validate_profile(const HardwareProfile& profile, const ValidateOptions& options, Tally& tally,
                      Record* record);

/// Kernels whose time is a ceiling itself have no predicted time.
bool is_load(const std::string& name);

/// Part B: the kernels' counts and times against the model's, on this machine.
void validate_kernels(std::span<const kernels::Entry* const> entries, const Machine& machine,
                      const ValidateOptions& options, Tally& tally, Record* record);

}  // namespace kvroof::probe
