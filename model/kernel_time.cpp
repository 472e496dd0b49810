#include "model/kernel_time.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "model/clock.hpp"

namespace kvroof {
namespace {

constexpr double kSmBytesPerClock = 64;
constexpr double kAlike = 1.1;  // blocks this close to the mean run wave by wave

struct Grid {
  double ctas, per_sm, sms;
  double slots() const { return per_sm * sms; }
  double whole() const { return std::floor(ctas / slots()) * slots(); }  // blocks in full waves
  double rest() const { return ctas - whole(); }
};

/// Tensor, exponential, FP32 and shared-memory time of all blocks, on all SMs.
std::array<Seconds, 4> pipes(const Op& op, const Machine& m, double compute) {
  const Work& w = op.work;
  Throughput peak = m.roof(op.math).peak;
  if (w.flops_executed > Flops{} && peak <= Throughput{})
    throw std::domain_error(m.id + " has no " + std::string(name(op.math)) + " tensor peak");
  if (op.execution.mma_sync) peak = m.mma_sync_share * peak;
  const auto at = [](auto amount, auto rate) {
    return amount.value > 0 && rate.value > 0 ? amount / rate : Seconds{};
  };
  return {at(w.flops_executed, compute * peak),
          Seconds{m.exps_per_second > 0 ? w.exps / m.exps_per_second : 0},
          at(w.fp32, m.fp32.achieved), at(w.smem, m.smem)};
}

Seconds together(const std::array<Seconds, 4>& p, double overlap) {
  const Seconds longest = *std::max_element(p.begin(), p.end());
  const Seconds sum = std::accumulate(p.begin(), p.end(), Seconds{});
  return longest + (1 - overlap) * (sum - longest);
}

/// Time of a mean block among k of its kind on one SM.
Seconds block_time(const std::array<Seconds, 4>& p, const Grid& g, double overlap, double k) {
  const double shared = g.per_sm > 1 ? (1 - 1 / k) / (1 - 1 / g.per_sm) : 1;
  return k * g.sms / g.ctas * together(p, shared * overlap);
}

Seconds compute_time(const std::array<Seconds, 4>& p, const Grid& g, const Execution& e,
                     double overlap) {
  if (g.ctas <= 0) return together(p, overlap);
  const double k = std::ceil(g.rest() / g.sms);
  if (e.longest <= kAlike) {
    const Seconds last = k > 0 ? block_time(p, g, overlap, k) : Seconds{};
    return g.whole() / g.ctas * together(p, overlap) + last;
  }
  const Seconds alone = block_time(p, g, overlap, 1);
  const double resident = std::min(g.per_sm, std::ceil(g.ctas / g.sms));
  // The longest block has company while others last.
  const Seconds longest = e.longest / 2 * (block_time(p, g, overlap, resident) + alone);
  if (g.ctas <= g.slots()) return longest;
  const double l = e.longest_first ? 0 : e.longest;
  return max(longest, together(p, overlap) + l * l / (l + 1) * alone);
}

Seconds memory_time(Bytes bytes, const Grid& g, Bandwidth hbm, const Machine& m) {
  if (g.ctas <= 0) return bytes / hbm;
  const Bandwidth each{kSmBytesPerClock / g.per_sm * m.boost_clock.value};
  const auto wave = [&](double blocks, double at_once) {
    return blocks > 0 ? blocks / g.ctas * bytes / min(hbm, at_once * each) : Seconds{};
  };
  return wave(g.whole(), g.slots()) + wave(g.rest(), g.rest());
}

}  // namespace

Seconds kernel_time(const Op& op, const Machine& m, const KernelConstants& k) {
  const Work& w = op.work;
  const Grid grid{w.ctas, 1.0 * op.execution.ctas_per_sm, 1.0 * m.num_sms};
  const double overlap = k.overlap.value_or(1);
  const auto cycles = [&](double n) {
    return n > 0 ? Cycles{n} / clock_under(op, m, Before::rest) : Seconds{};
  };
  const bool counted = op.execution.sm_cycles > 0;
  const Seconds compute = counted
                              ? cycles(op.execution.sm_cycles + overshoot_cycles(op))
                              : compute_time(pipes(op, m, k.compute), grid, op.execution, overlap);
  const Bytes kept = min(op.handed_over, w.hbm());
  const Seconds hbm = memory_time(w.hbm() - kept + w.reread, grid, k.memory * m.hbm.peak, m);
  const Seconds body = max(max(compute, hbm), w.l2_to_sm / m.l2.achieved);
  const Seconds blocks = counted ? Seconds{} : std::ceil(w.ctas / grid.slots()) * k.block;
  return op.count * (body + cycles(op.execution.fill_cycles) + w.launches * k.ramp + blocks);
}

}  // namespace kvroof
