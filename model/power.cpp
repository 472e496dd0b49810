#include "model/power.hpp"

#include <algorithm>

namespace kvroof {

Flops switching_flops(const Op& op) {
  const bool pads = op.op_class == OpClass::gemm || op.op_class == OpClass::moe_gemm ||
                    op.op_class == OpClass::decode_attention;
  return pads ? op.work.flops : op.work.flops_executed;
}

std::optional<Energy> energy(const Op& op, const PowerLaw& law) {
  const Work& w = op.work;
  const bool on_tensor_cores = w.flops_executed > Flops{};
  const EnergyPerFlop each =
      op.execution.mma_sync ? law.mma_sync : law.tensor[static_cast<std::size_t>(op.math)];
  if (on_tensor_cores && each <= EnergyPerFlop{}) return std::nullopt;
  const Flops tensor = on_tensor_cores ? switching_flops(op) : Flops{};
  const Bytes kept = min(op.handed_over, w.hbm()), kept_read = min(kept, w.hbm_read());
  return Energy{
      .logic = op.count * (tensor * each + w.fp32 * law.fp32 + w.exps * law.exp +
                           w.l2_to_sm * law.l2 + w.multicast * law.multicast + w.smem * law.smem),
      .memory = op.count * ((w.hbm_read() - kept_read + w.reread) * law.hbm_read +
                            (w.hbm_written() - (kept - kept_read)) * law.hbm_written)};
}

std::optional<Energy> energy(std::span<const Op> ops, const PowerLaw& law) {
  Energy sum;
  for (const Op& op : ops) {
    const auto e = energy(op, law);
    if (!e) return std::nullopt;
    sum += *e;
  }
  return sum;
}

Watts draw(const Energy& e, Seconds seconds, const PowerLaw& law, double pace) {
  const double v = 1 - law.slope * (1 - pace);
  return law.idle + v * v * (pace * law.clocked + e.logic / seconds) + e.memory / seconds;
}

double one_shot_pace(const Energy& e, Seconds seconds, const PowerLaw& law) {
  const Watts beyond = draw(e, seconds, law, 1) - law.knee;
  if (beyond <= Watts{} || law.droop <= Watts{}) return 1;
  return 1 - beyond / law.droop;
}

double steady_pace(const Energy& e, const std::function<Seconds(double)>& seconds_at,
                   const PowerLaw& law) {
  double low = 0.1, high = 1;  // no governor goes below a tenth
  const auto fits = [&](double pace) { return draw(e, seconds_at(pace), law, pace) <= law.held; };
  if (fits(high)) return high;
  for (int i = 0; i < 40; ++i) {
    const double middle = (low + high) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

Machine at_pace(const Machine& machine, double pace) {
  Machine m = machine;
  m.sm_clock *= pace, m.boost_clock *= pace;
  for (auto& roof : m.tensor) roof.peak *= pace, roof.achieved *= pace;
  m.fp32.peak *= pace, m.fp32.achieved *= pace;
  m.exps_per_second *= pace;
  m.l2.peak *= pace, m.l2.achieved *= pace;
  m.smem *= pace;
  return m;
}

std::optional<PacedOp> paced(const Op& op, const Machine& machine, const PowerLaw& law,
                             std::function<Seconds(const Machine&)> time) {
  const auto e = energy(op, law);
  if (!e) return std::nullopt;
  return PacedOp{*e, one_shot_pace(*e, time(machine), law), std::move(time)};
}

SteadyStep steady_step(std::span<const PacedOp> ops, const Machine& machine, const PowerLaw& law) {
  Energy all;
  for (const PacedOp& op : ops) all += op.energy;
  const auto seconds_at = [&](double pace) {
    Seconds sum;
    for (const PacedOp& op : ops)
      sum += op.time(at_pace(machine, std::min(pace, op.one_shot) / op.one_shot));
    return sum;
  };
  const double pace = steady_pace(all, seconds_at, law);
  return {pace, seconds_at(pace), draw(all, seconds_at(1), law, 1)};
}

}  // namespace kvroof
