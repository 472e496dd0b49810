#include "model/clock.hpp"

#include <algorithm>

namespace kvroof {

Clock clock_under(const Op& op, const Machine& m, Before before) {
  constexpr double kBesideSoftmax = 0.96, kOwn = 0.65, kFree = 40e3, kLimited = 160e3;
  const auto& roof = m.roof(op.math);
  if (roof.peak <= Throughput{}) return m.boost_clock;
  const double idle = m.boost_clock.value,
               busy = kBesideSoftmax * (roof.achieved / roof.peak) * m.sm_clock.value,
               filled = op.work.ctas > 0 ? std::min(1.0, op.work.ctas / m.num_sms) : 1,
               cycles = op.execution.sm_cycles + op.execution.fill_cycles,
               risen = std::clamp((cycles - kFree) / (kLimited - kFree), 0.0, 1.0),
               limited = before == Before::rest ? risen : 1;
  return Clock{idle -
               op.execution.tensor_busy * (idle - busy) * (kOwn + (1 - kOwn) * filled * limited)};
}

double overshoot_cycles(const Op& op) {
  constexpr double kFrom = 100e3, kTo = 160e3, kLost = 8e3;
  if (op.execution.tensor_busy <= 0) return 0;
  return kLost * std::clamp((op.execution.sm_cycles - kFrom) / (kTo - kFrom), 0.0, 1.0);
}

}  // namespace kvroof
