// What decides tiles, split counts and re-reads: the SMs that work at once and the L2 they share.
#pragma once
#include <cmath>

#include "model/units.hpp"

namespace kvroof {

///   l2_effective   footprint of which 5 % of random loads miss L2 (kvroof-probe ceilings): 33 MB
///                  of an H200's 60 MiB, because each half keeps copies of what the other half owns
///   l2_ridge       BF16 FLOPs the tensor cores run while one byte comes from L2: the tile that
///                  reuses less waits for L2 (H200: 989 TFLOP/s over 9.57 TB/s)
struct OnChip {
  int num_sms = 132;
  Bytes l2_effective{33e6};
  double l2_ridge = 103;
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

/// The same for rows that one SM alone works on, walked again and again: no half keeps copies of
/// what the other owns, so that half of them still hit at 1.52 of l2_effective, 50 of the H200's 63
/// MB, and L2 forgets them less sharply.
///   1 / (1 + (between / 1.52·l2_effective)^10)
/// Fitted on the DRAM reads of shapes 0, 3, 4, 7, 8, 11, 12 of flash_v1 in its catalogue.
constexpr double l2_hit_own_rows(Bytes between, const OnChip& chip) {
  const double x = between / (1.52 * chip.l2_effective), x2 = x * x, x4 = x2 * x2;
  return 1 / (1 + x2 * x4 * x4);
}

/// The same where blocks of several waves are anywhere in their walks: bytes in between vary from
/// row to row, and with them what is forgotten.
///   1 / (1 + (between / 1.42·l2_effective)^3.7)
/// Fitted on shapes 4, 7, 15, 16 of softmax, the fitted half of those that just fill L2.
inline double l2_hit_unordered(Bytes between, const OnChip& chip) {
  return 1 / (1 + std::pow(between / (1.42 * chip.l2_effective), 3.7));
}

/// What a written line takes of L2: itself and, for most lines, a copy in the other half.
inline constexpr double kWriteCopies = 1.75;

}  // namespace kvroof
