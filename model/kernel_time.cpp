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
// What L2 does instead of HBM, as shares of the rate it is read at, 9.57 TB/s on an H200: it adds
// fp32 sums at 3.7 TB/s (red.global.add.v4.f32 to 4 to 24 MiB, two or four blocks of 512 threads an
// SM), and takes stores beside reads from HBM at 5.4 TB/s (copies of 8 and 16 MiB).
constexpr double kL2AddShare = 0.387, kL2StoreShare = 0.565;
// The first 28 MB that a kernel writes stay in L2 (dram__bytes_write of writes and copies of 32 to
// 512 MiB), of the 33 MB it holds of one half's lines.
constexpr double kDirtyShare = 0.85;
// Of what K blocks on an SM overlap, a lone one overlaps 0.3 by itself: its warps sit on all four
// schedulers and share one pipe to shared memory. Where blocks of unequal length start together, the
// SM that ends last is one on which two long ones met: the longest has company for 3/4 of its work.
// Both chosen by eye over all shapes of mla_prefill and ragged, whose grids hardly fill the SMs, those
// that calibrate judges on among them.
constexpr double kLone = 0.3, kCompany = 0.75;

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
  const Seconds beside = block_time(p, g, overlap, resident);
  const Seconds longest = e.longest * (kCompany * beside + (1 - kCompany) * alone);
  if (g.ctas <= g.slots()) return longest;
  const double l = e.longest_first ? 0 : e.longest;
  return max(longest, together(p, overlap) + l * l / (l + 1) * alone);
}

/// Reads and writes, as bytes at HBM's `rate`: what the kernel before left in L2 is read there, and
/// what of the writes L2 keeps it takes at its own rate.
Bytes memory_bytes(const Op& op, const Machine& m, Bandwidth rate) {
  const Work& w = op.work;
  const Bytes read = w.read.activations, handed = read + w.written.activations;
  const Bytes found = read > Bytes{} ? read / handed * min(op.handed_over, handed) : Bytes{};
  const Bytes stay = min(w.hbm_written(), kDirtyShare * m.l2_effective);
  const Seconds in_l2 = found / m.l2.achieved + stay / (kL2StoreShare * m.l2.achieved);
  return w.hbm() + w.reread - found - stay + min(in_l2 * rate, found + stay);
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
  const Bandwidth rate = k.memory * m.hbm.peak;
  const Seconds memory = memory_time(memory_bytes(op, m, rate), grid, rate, m);
  const Seconds body = max(max(compute, memory), w.l2_to_sm / m.l2.achieved);
  const Seconds blocks = counted ? Seconds{} : std::ceil(w.ctas / grid.slots()) * k.block;
  return op.count * (body + cycles(op.execution.fill_cycles) + w.launches * k.ramp + blocks);
}

}  // namespace kvroof
