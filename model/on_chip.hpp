// What decides tiles, split counts and re-reads: the SMs that work at once and the L2 they share.
#pragma once
#include "model/units.hpp"

namespace kvroof {

///   l2_effective   footprint of which 5 % of random loads miss L2 (kvroof-probe ceilings): 33 MB
///   of
///                  an H200's 60 MiB, because each half keeps copies of what the other half owns
struct OnChip {
  int num_sms = 132;
  Bytes l2_effective{33e6};
  constexpr bool operator==(const OnChip&) const = default;
};

/// Share of re-reads that hit L2 when `between` other bytes went through it since the last use:
///   1 / (1 + (between / l2_effective)^14 / 19)       5 % miss at l2_effective, half at 1.23 of it
/// The exponent is how sharply the H200's L2 forgets: from the DRAM reads of 45 products
/// (reports/h200-sxm-141gb/gemm_raster.csv).
constexpr double l2_hit(Bytes between, const OnChip& chip) {
  const double x = between / chip.l2_effective, x2 = x * x, x4 = x2 * x2;
  return 1 / (1 + x2 * x4 * x4 * x4 / 19);
}

/// What a written line takes of L2: itself and, for most lines, a copy in the other half.
inline constexpr double kWriteCopies = 1.75;

}  // namespace kvroof
