// The pipes of one SM: cycles that one score tile needs on the tensor cores, the exponential unit
// and shared memory. Method of FlashAttention-4 (arXiv:2603.05451) section 3.1.
#pragma once
#include <algorithm>

#include "model/attention/variant.hpp"

namespace kvroof::attention {

/// Rates per SM and clock.
struct PipeRates {
  double mma_flops = 4096;  // dense bf16: A100 2048, Hopper 4096, B200 8192; fp8 twice that
  double exps = 16;         // MUFU.EX2; B300 32
  double smem_bytes = 128;
  double fp32_lanes = 128;
};
/// Comparisons, subtraction and scaling, sums, packing and waiting, a score of a warp: fitted on
/// the shapes of reports/h200-sxm-141gb/flash_v3_model.csv with s 512, 2048 and 8192,
/// judged on the rest.
inline constexpr double kOwnCycles = 5.5;

/// An SM's share of an H200's HBM in bytes a clock: 4.6 TB/s over 132 SMs at 1.74 GHz.
inline constexpr double kHbmBytesPerClock = 20;

/// Of partial results that another SM has just written to L2: 4.5 TB/s, half of what L2 serves
/// else.
inline constexpr double kPartialBytesPerClock = 17;

inline constexpr PipeRates kHopperPipes{};
inline constexpr PipeRates kHopperFp8Pipes{.mma_flops = 8192};
inline constexpr PipeRates kBlackwellPipes{.mma_flops = 8192};

struct PipeCycles {
  double mma = 0, exp = 0, smem = 0;
  constexpr bool operator==(const PipeCycles&) const = default;
};

/// Bytes of one operand element as the tensor cores read it: what is quantised below `math` is
/// widened before the product.
double operand_bytes(MathType math);

/// Shared-memory bytes of one m x n tile.
///   Q·K^T, both operands in shared memory   e·(col_groups·m·d_qk + (m / mma_rows)·n·d_qk)
///   P·V, P in registers or TMEM             e·(m / mma_rows)·n·d_v
///   P through shared memory                 + e·(1 + col_groups)·m·n, stored once
/// Left out: the epilogue of O, and filling the tiles (2·n·d·e a tile, written by TMA).
double tile_smem_bytes(const Tile& tile, double d_qk, double d_v, double e);

/// Forward cycles of one tile, d = d_qk = d_v:
///   mma = 4·m·n·d / mma_flops     exp = m·n / exps     smem = tile_smem_bytes / smem_bytes
/// `p_in_smem` overrides the tile's own flag.
PipeCycles pipe_cycles(const Tile& tile, double d, const PipeRates& rates, bool p_in_smem,
                       double e = 2);

/// One step of a block: each of its warpgroups takes `rows_each` rows by n keys, in turn on the
/// pipes they share. Cycles:
///   mma     products of all warpgroups          exp     exponentials of all, poly_share left out
///   smem    operands of all, through 128 bytes a clock
///   chain   what one warpgroup cannot overlap with itself: its own products (unless the next
///           scores are computed ahead), everybody's exponentials, since warps of all warpgroups
///           meet on that unit, and `own` cycles a score of a warp for the rest of the softmax:
///             chain = products·mma / warpgroups + exp + rows_each·n / 128·(own + d_v / n) + poly
///                     + waits
///   mask    what a step with masked keys adds to the chain: kMaskInstructions a score of a warp,
///           issued for all warpgroups, whose warps share four schedulers
/// The longest of them is the step.
struct Step {
  double mma = 0, exp = 0, smem = 0, chain = 0, mask = 0;
  constexpr double longest() const { return std::max({mma, smem, chain}); }
  constexpr double masked() const { return std::max({mma, smem, chain + mask}); }
};
/// Of a key tile that is masked, a score: one comparison with the row's limit, one selection and
/// what moves the limits about. 698 instructions instead of 513 for 64 scores a thread (SASS of the
/// E4M3 kernel, d 128, three warpgroups; 660 instead of 474 with two).
inline constexpr double kMaskInstructions = 2.9;

/// What pipes cost each other on an H200, from pairs of loops on one SM. MUFU.EX2 beside
/// back-to-back wgmma: 12.3 of 16 lanes a clock. FFMA at 0.78 warps a clock and quarter: wgmma
/// falls from 95 % of its peak to 28 %, so an FMA instruction displaces 0.85 cycles of it.
inline constexpr double kExpUnderMma = 1.3;
inline constexpr double kFmaDisplaces = 0.85;

struct StepPlan {
  int warpgroups = 2;
  double rows_each = 64;
  double own = kOwnCycles;  // cycles a warp spends on 32 scores beside products and exponentials
  double products = 1;      // share of its products that a warpgroup waits for before its softmax
  double exp_slowdown = 1;  // kExpUnderMma where a warpgroup's own products run beside them
  bool rescales = true;     // O is multiplied by other warps, or hardly ever
  double waits = 0;         // cycles a step of one warpgroup that nothing hides
  double poly_share = 0, poly_slots = 0;  // exponentials on the FMA pipe, slots of each
  double fma_displaces = kFmaDisplaces;   // of wgmma; 0 where products do not go through registers
};
Step step_cycles(const Tile& tile, double d_qk, double d_v, double e, const PipeRates& rates,
                 const StepPlan& plan);

}  // namespace kvroof::attention
