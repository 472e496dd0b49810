// The roofline law, once for everything: work on a machine takes this long, bound by that.
#pragma once
#include <array>
#include <span>
#include <string_view>

#include "model/machine.hpp"
#include "model/op.hpp"

namespace kvroof {

/// The resource that sets the time.
enum class Bound { hbm, tensor, exp, fp32, l2, link, latency };
inline constexpr int kNumBounds = 7;
constexpr std::string_view name(Bound b) {
  constexpr std::string_view names[] = {"HBM", "tensor", "exp", "FP32", "L2", "link", "latency"};
  return names[static_cast<int>(b)];
}

/// Why the expectation is above the floor. Each step replaces one ideal by what the hardware does,
/// so the parts add up to expected − floor exactly.
///   bandwidth   achieved instead of datasheet HBM rate           compute   the same for the pipes
///   traffic     bytes beyond compulsory: re-reads, activations that leave the chip
///   padding     tile padding, masked tiles, part-filled waves and too few CTAs to draw full
///               bandwidth
///   pipes       exponentials and FP32 work that do not hide under tensor work, L2 limits
///   ramp        fill and drain of each kernel and wave           launch    gaps between kernels
///   link        communication that is not hidden
struct Gap {
  Seconds bandwidth, compute, traffic, padding, pipes, ramp, launch, link;
  Gap& operator+=(const Gap& o);
  Seconds total() const {
    return bandwidth + compute + traffic + padding + pipes + ramp + launch + link;
  }
};
Gap operator*(double n, const Gap& g);

/// Times of an op, all its `count` runs together.
///   floor     speed of light: nothing measured may be faster
///   expected  what real kernels take
///   spread    one standard deviation of the expectation
///   alone     time on each resource
struct OpTime {
  Seconds floor, expected, spread;
  Bound floor_bound = Bound::hbm, bound = Bound::hbm;
  Seconds link_floor;  // wire time at the datasheet rate; it may hide under other ops
  Gap gap;
  Source source = Source::assumed;
};

enum class Launch { stream, graph };

/// Time of one op run op.count times.
///   floor    = max(flops / peak, (hbm − handed_over) / hbm peak)
///   expected = max over pipes of executed work / (peak · achieved share · wave fill), plus the
///              part of the exponentials that does not overlap, plus ramp and launch gap;
///              collectives by link_time(). See model.md's sections in README, "How time is
///              computed".
/// Throws std::domain_error naming the unit when the machine lacks it (FP8 on an A100).
OpTime time(const Op& op, const Machine& m, Launch launch);

/// A step: the sum of its ops.
///   floor     Σ floors; wire time counts only where it exceeds everything else (it may overlap)
///   expected  Σ expectations; with `overlap_links` communication hides under the other ops
///   spread    errors of one op class are taken as fully correlated, classes as independent
struct StepTime {
  Seconds floor, expected, spread;
  Bound floor_bound = Bound::hbm, bound = Bound::hbm;  // of the largest share
  Gap gap;
  Seconds link_floor, link_expected;
  Source source = Source::measured;
  Seconds low() const { return max(floor, expected - spread); }
  Seconds high() const { return expected + spread; }
};

StepTime time(std::span<const Op> ops, const Machine& m, Launch launch, bool overlap_links = false);

/// Work of a whole step on one GPU.
Work total_work(std::span<const Op> ops);

}  // namespace kvroof
