// How long one kernel runs whose grid and occupancy are known: pipe by pipe, wave by wave. time()
// in model/time.hpp speaks for classes of engines' kernels instead.
#pragma once
#include <optional>

#include "model/machine.hpp"
#include "model/op.hpp"

namespace kvroof {

/// What a kernel reaches; at most four of the five are free.
///   compute   share of the tensor peak that a kernel with nothing beside its products reaches
///   overlap   of a kernel with exponentials, or whose warps load operands of mma.sync: the share of
///             its shorter pipes that hides under the longest one, all pipes at their measured rates
///   memory    share of the HBM peak
///   ramp      fill and drain of a launch                block    of a wave of thread blocks
struct KernelConstants {
  double compute = 1;
  std::optional<double> overlap;
  double memory = 1;
  Seconds ramp, block;
};

/// Time of the thread blocks' work on the pipes of one SM, and of their bytes at HBM and L2:
///   pipes   tensor, exponentials, FP32, shared memory and sums that L2 adds up for the blocks:
///           longest + (1 - overlap)·(sum - longest)
///   waves   c blocks, K resident on each of S SMs. Full waves keep all pipes busy; of the rest an
///           SM has k = ⌈rest / S⌉. A block alone overlaps only with itself: of k among K, the
///           overlap is 0.3 + 0.7·(1 - 1/k) / (1 - 1/K) of what it is among K.
///   order   blocks of unequal work (the longest is l means long) do not march in waves. When the
///           last one starts, those at work have l / (l + 1) means of work left on average (half a
///           block if all are alike, 2/3 if lengths run from 0 to 2, 1 if they fall off
///           exponentially) and the last of them has l: the SMs idle l - l / (l + 1) = l² / (l + 1)
///           means, at the speed of a lone block. Nothing where the longest start first. Never
///           less than the longest block, 3/4 of it beside others.
///   HBM     reads and writes at `memory` of the peak, but a block draws at most 64 / K bytes a
///           clock: what its SM takes from L2, shared by as many as were meant to share it. What the
///           kernel before left in L2 is read at L2's rate. The first of what a kernel writes stays
///           in L2, which takes it at a little over HBM's rate.
///   cycles  where the busiest SM's are counted (Execution::sm_cycles), they take the place of
///           pipes, waves and `block`, at the clock of clock_under() after rest, as
///           single launches are measured
///   kernel  max(pipes, HBM, L2) + fill_cycles + ramp·launches + block·⌈c / (S·K)⌉
/// Throws std::domain_error naming the unit when the machine lacks it.
Seconds kernel_time(const Op& op, const Machine& m, const KernelConstants& k);

}  // namespace kvroof
