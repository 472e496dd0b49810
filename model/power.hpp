// What a GPU draws, and the clock that its power limit leaves. time() and kernel_time() know
// neither: they speak of kernels that start rested.
//
// A kernel that repeats draws, at a pace x (its clock over the fastest one),
//   P(x) = idle + v² · (clocked·x + logic / t(x)) + memory / t(x)        v = 1 - slope · (1 - x)
// where logic and memory are the joules of its work at full voltage and t(x) the seconds it takes.
// Energy of a switch goes with the square of the voltage, and the voltage follows the clock; HBM has
// a supply of its own. The governor averages over tens of milliseconds, many kernels, and settles
// where the mean draw is `held`, a little under the limit: one pace for all of a step's kernels.
//
// A launch after rest is over before that. It keeps its voltage setting, and what it draws pulls the
// supply down: beyond a knee the clock falls in proportion, at once.
#pragma once
#include <array>
#include <functional>
#include <optional>
#include <span>

#include "model/energy.hpp"
#include "model/machine.hpp"
#include "model/op.hpp"

namespace kvroof {

/// Constants of a GPU, energies at the voltage of its fastest clock.
///   held      mean draw that the governor keeps      idle     nothing runs
///   clocked   what a GPU at work draws before its units do anything, at the fastest clock
///   tensor    per executed FLOP without its operands' way through shared memory; 0: not known
///   l2        from L2 to an SM, into its registers or shared memory     multicast  to another one
///   smem      through shared memory, tensor operands included, as Work counts it
///   slope     relative fall of the voltage over relative fall of the clock
///   knee, droop   a rested launch that would draw P at full voltage runs at the pace
///             1 - (P - knee) / droop
struct PowerLaw {
  Watts held, idle, clocked;
  std::array<EnergyPerFlop, kNumMathTypes> tensor{};
  EnergyPerFlop mma_sync, fp32;
  EnergyPerByte hbm_read, hbm_written, l2, multicast, smem;
  Joules exp;
  double slope = 0;
  Watts knee, droop;
  bool operator==(const PowerLaw&) const = default;
};

/// Of a stretch of work, at full voltage: what SMs, L2 and the wires between them take, and HBM.
struct Energy {
  Joules logic, memory;
  constexpr Energy& operator+=(const Energy& o) {
    return logic += o.logic, memory += o.memory, *this;
  }
  bool operator==(const Energy&) const = default;
};

/// FLOPs whose operands switch anything: all that run, but for rows that only pad a tile of products
/// or of decode attention, which hold zeros. (Masked tiles of a prefill hold real data.)
Flops switching_flops(const Op& op);

/// Energy of op.count launches; nullopt where they use tensor cores whose energy is not known.
std::optional<Energy> energy(const Op& op, const PowerLaw& law);
std::optional<Energy> energy(std::span<const Op> ops, const PowerLaw& law);

/// P of a stretch of `seconds`, at a pace.
Watts draw(const Energy& e, Seconds seconds, const PowerLaw& law, double pace);

/// Pace of a launch after rest that takes `seconds`; 1 up to the knee.
double one_shot_pace(const Energy& e, Seconds seconds, const PowerLaw& law);

/// Pace at which a stretch, repeated without rest, draws what is held; 1 where it draws less.
///   seconds_at   of the stretch at a pace; must not grow with the pace
double steady_pace(const Energy& e, const std::function<Seconds(double)>& seconds_at,
                   const PowerLaw& law);

/// The machine with everything that runs on the SMs' clock at this share of its rates; HBM, links
/// and launches stay.
Machine at_pace(const Machine& machine, double pace);

/// An op of a step: its energy, the pace of its rested launch, and its time at another machine.
struct PacedOp {
  Energy energy;
  double one_shot = 1;
  std::function<Seconds(const Machine&)> time;
};
/// nullopt: energy not known.
std::optional<PacedOp> paced(const Op& op, const Machine& machine, const PowerLaw& law,
                             std::function<Seconds(const Machine&)> time);

/// A step repeated without rest: its pace, its seconds, and what it would draw at full pace.
struct SteadyStep {
  double pace = 1;
  Seconds seconds;
  Watts wanted;
};
/// Each op is slower than its rested launch by the step's pace over its own, never faster.
SteadyStep steady_step(std::span<const PacedOp> ops, const Machine& machine, const PowerLaw& law);

}  // namespace kvroof
