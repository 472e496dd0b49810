#include "model/kernel_time.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

namespace kvroof {
namespace {

constexpr double kSmBytesPerClock = 64;
constexpr double kAlike = 1.1;  // blocks this close to the mean run wave by wave
// L2 adds fp32 sums (red.global.add.v4.f32) at 3.7 TB/s where it is read at 9.57: on an H200, for
// sums of 4 to 24 MiB, from two or four blocks of 512 threads an SM.
constexpr double kL2AddShare = 0.387;

struct Grid {
  double ctas, per_sm, sms;
  double slots() const { return per_sm * sms; }
  double whole() const { return std::floor(ctas / slots()) * slots(); }  // blocks in full waves
  double rest() const { return ctas - whole(); }
};

/// Times of all blocks, on all SMs: tensor, exponentials, FP32, shared memory, sums added in L2.
using Pipes = std::array<Seconds, 5>;

Pipes pipes(const Op& op, const Machine& m, double compute) {
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
          at(w.fp32, m.fp32.achieved), at(w.smem, m.smem),
          at(w.l2_added, kL2AddShare * m.l2.achieved)};
}

Seconds together(const Pipes& p, double overlap) {
  const Seconds longest = *std::max_element(p.begin(), p.end());
  const Seconds sum = std::accumulate(p.begin(), p.end(), Seconds{});
  return longest + (1 - overlap) * (sum - longest);
}

// Of what K blocks on an SM overlap, a lone one overlaps 0.3 by itself: its warps sit on all four
// schedulers and share one pipe to shared memory. Where blocks of unequal length start together, the
// SM that ends last is one on which two long ones met: the longest has company for 3/4 of its work.
// Both from shapes 0, 3, 4, 7, … of mla_prefill and ragged, whose grids hardly fill the SMs.
constexpr double kLone = 0.3, kCompany = 0.75;

/// Time of a mean block among k of its kind on one SM.
Seconds block_time(const Pipes& p, const Grid& g, double overlap, double k) {
  const double shared = g.per_sm > 1 ? (1 - 1 / k) / (1 - 1 / g.per_sm) : 1;
  return k * g.sms / g.ctas * together(p, (kLone + (1 - kLone) * shared) * overlap);
}

Seconds compute_time(const Pipes& p, const Grid& g, const Execution& e, double overlap) {
  if (g.ctas <= 0) return together(p, overlap);
  const double k = std::ceil(g.rest() / g.sms);
  if (e.longest <= kAlike) {
    const Seconds last = k > 0 ? block_time(p, g, overlap, k) : Seconds{};
    return g.whole() / g.ctas * together(p, overlap) + last;
  }
  const Seconds alone = block_time(p, g, overlap, 1);
  const double resident = std::min(g.per_sm, std::ceil(g.ctas / g.sms));
  const Seconds together_for = kCompany * block_time(p, g, overlap, resident),
                longest = e.longest * (together_for + (1 - kCompany) * alone);
  if (g.ctas <= g.slots()) return longest;
  const double l = e.longest_first ? 0 : e.longest;
  return max(longest, together(p, overlap) + l * l / (l + 1) * alone);
}

/// Activations that are read from L2, of those that L2 keeps between two kernels.
Bytes found_in_l2(const Op& op) {
  const Bytes read = op.work.read.activations, both = read + op.work.written.activations;
  return read > Bytes{} ? read / both * min(op.handed_over, both) : Bytes{};
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
  const Seconds compute = compute_time(pipes(op, m, k.compute), grid, op.execution, overlap);
  const Bytes found = found_in_l2(op);
  const Bandwidth rate = k.memory * m.hbm.peak;
  const Bytes instead = found / m.l2.achieved * rate;  // of HBM's bytes, in the same time
  const Seconds memory = memory_time(w.hbm() - found + instead + w.reread, grid, rate, m);
  const Seconds body = max(max(compute, memory), w.l2_to_sm / m.l2.achieved);
  return op.count * (body + w.launches * k.ramp + std::ceil(w.ctas / grid.slots()) * k.block);
}

}  // namespace kvroof
