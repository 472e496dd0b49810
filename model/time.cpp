#include "model/time.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "model/clock.hpp"
#include "model/collective.hpp"
#include "model/step_sums.hpp"

namespace kvroof {
namespace {

// An SM takes at most 64 bytes a clock from L2,
// so a grid that fills few SMs cannot draw full HBM rate.
constexpr double kSmBytesPerClock = 64;

/// Slots that stay empty: ⌈c/s⌉·s/c for c CTAs on s slots; 1 for kernels that do not say.
double wave_factor(double ctas, double slots) {
  return ctas > 0 ? std::ceil(ctas / slots) * slots / ctas : 1;
}

Seconds at(Flops f, Throughput rate) { return f > Flops{} ? f / rate : Seconds{}; }

Throughput tensor_peak(const Op& op, const Machine& m) {
  const Throughput peak = m.roof(op.math).peak;
  if (op.work.flops > Flops{} && peak <= Throughput{})
    throw std::domain_error(m.id + " has no " + std::string(name(op.math)) + " tensor peak (op " +
                            std::string(op.name) + ")");
  return op.execution.mma_sync ? m.mma_sync_share * peak : peak;
}

/// Everything the expectation is made of, for one run.
struct Pipes {
  Seconds tensor, exp, fp32, hbm, l2;
  Seconds counted;  // of the busiest SM, where its cycles are known

  /// Compute pipes: the longest, plus what does not hide under it.
  Seconds compute(double overlap) const {
    if (counted > Seconds{}) return counted;
    const Seconds side = max(exp, fp32);
    return max(tensor, side) + (1 - overlap) * min(tensor, side);
  }
  Seconds body(double overlap) const { return max(max(compute(overlap), hbm), l2); }
  Bound bound(double overlap) const {
    const Seconds b = body(overlap);
    if (b == hbm) return Bound::hbm;
    if (b == l2) return Bound::l2;
    if (tensor >= exp && tensor >= fp32) return Bound::tensor;
    return exp >= fp32 ? Bound::exp : Bound::fp32;
  }
};

/// The link a collective's slowest pair uses: NVLink inside its domain, PCIe between bridged pairs
/// of one host (eight GPUs), the network beyond.
const Link& link_between(const Machine& m, const Collective& c) {
  constexpr int kHost = 8;
  if (c.ranks <= m.nvlink.domain || m.nvlink.domain <= 1) {
    const bool leaves_host = c.kind == CollectiveKind::send && c.ranks > m.nvlink.domain;
    return leaves_host ? m.nic : m.nvlink;
  }
  if (c.kind == CollectiveKind::send) return m.nic;
  return m.nvlink.domain < kHost && c.ranks <= kHost ? m.pcie : m.nvlink;
}

OpTime time_collective(const Op& op, const Machine& m) {
  const Link& link = link_between(m, op.collective);
  OpTime t;
  t.bound = t.floor_bound = Bound::link;
  if (trivial(op.collective)) return t;
  const ClassFit& fit = m.fit_of(OpClass::collective);
  t.link_floor = op.count * link_floor(op.collective, link);
  t.expected = op.count * link_time(op.collective, link);
  t.spread = fit.spread * t.expected;
  t.gap.link = t.expected;
  t.source = link.source;
  return t;
}

}  // namespace

Gap& Gap::operator+=(const Gap& o) {
  bandwidth += o.bandwidth, compute += o.compute, traffic += o.traffic, padding += o.padding;
  pipes += o.pipes, ramp += o.ramp, launch += o.launch, link += o.link;
  return *this;
}

Gap operator*(double n, const Gap& g) {
  return {n * g.bandwidth, n * g.compute, n * g.traffic, n * g.padding,
          n * g.pipes,     n * g.ramp,    n * g.launch,  n * g.link};
}

OpTime time(const Op& op, const Machine& m, Launch launch) {
  if (op.op_class == OpClass::collective) return time_collective(op, m);
  const Work& w = op.work;
  const ClassFit& fit = m.fit_of(op.op_class);
  const double overlap = op.execution.pipe_overlap;
  const FormatFit format = m.format_of(op.op_class, op.math);
  const Throughput peak = tensor_peak(op, m),
                   rate = std::min(1.0, format.compute * fit.compute) * peak;
  const Bandwidth hbm = m.hbm.peak,
                  hbm_rate = std::min(1.0, format.memory * fit.memory) * m.hbm.peak;

  // Floor: paper FLOPs and compulsory bytes at datasheet peaks;
  // what is handed over may stay on chip.
  const Bytes least = w.hbm() - min(op.handed_over, w.hbm());
  const Seconds floor_compute = at(w.flops, m.roof(op.math).peak), floor_hbm = least / hbm;
  const Seconds floor = max(floor_compute, floor_hbm);

  // Expectation, one ideal after the other replaced.
  const bool spills = op.handed_over > m.l2_effective && op.kept == Kept{};
  const Bytes bytes = (spills ? w.hbm() : least) + w.reread;
  const double slots = static_cast<double>(m.num_sms) * op.execution.ctas_per_sm;
  const double waves = 1 + fit.tail * (wave_factor(w.ctas, slots) - 1);
  const Bandwidth reach{std::min(w.ctas > 0 ? w.ctas : slots, 1.0 * m.num_sms) * kSmBytesPerClock *
                        m.boost_clock.value};
  const Bandwidth drawn = min(hbm_rate, reach);

  Pipes p;  // compute and bandwidth at achieved rates, paper counts
  p.tensor = at(w.flops, rate), p.hbm = least / hbm;
  const Seconds with_compute = max(p.tensor, p.hbm);
  p.hbm = least / hbm_rate;
  const Seconds with_bandwidth = max(p.tensor, p.hbm);
  p.hbm = bytes / hbm_rate;
  const Seconds with_traffic = max(p.tensor, p.hbm);
  p.tensor = waves * at(w.flops_executed, rate), p.hbm = bytes / drawn;
  const Seconds with_padding = max(p.tensor, p.hbm);
  p.exp = Seconds{m.exps_per_second > 0 ? waves * w.exps / m.exps_per_second : 0};
  p.fp32 = waves * at(w.fp32, m.fp32.achieved);
  p.l2 = w.l2_to_sm / m.l2.achieved;
  const auto cycles = [&](double n) { return n > 0 ? Cycles{n} / clock_under(op, m) : Seconds{}; };
  p.counted = cycles(op.execution.sm_cycles);
  const Seconds body = p.body(overlap);
  // What a decode kernel launches after itself merges its splits:
  // as short as an elementwise kernel.
  const Seconds after =
      op.op_class == OpClass::decode_attention ? m.fit_of(OpClass::elementwise).ramp : fit.ramp;
  const Seconds first = fit.ramp + format.convert;
  const Seconds ramp = std::min(w.launches, 1.0) * first +
                       std::max(0.0, w.launches - 1) * (after + format.convert) +
                       std::ceil(w.ctas / slots) * fit.block + cycles(op.execution.fill_cycles);
  const Seconds busy = body + ramp;
  // In a graph the next kernel starts one node period later; in a stream the host must keep up too.
  const Seconds gaps = w.launches * m.launch.graph_node;
  const Seconds paced =
      launch == Launch::graph ? busy + gaps : max(busy + gaps, w.launches * m.launch.stream);

  OpTime t;
  t.floor = op.count * floor;
  t.floor_bound = floor_compute > floor_hbm ? Bound::tensor : Bound::hbm;
  t.expected = op.count * paced;
  t.spread = fit.spread * t.expected;
  t.bound = paced - body > body ? Bound::latency : p.bound(overlap);
  t.gap = op.count * Gap{.bandwidth = with_bandwidth - with_compute,
                         .compute = with_compute - floor,
                         .traffic = with_traffic - with_bandwidth,
                         .padding = with_padding - with_traffic,
                         .pipes = body - with_padding,
                         .ramp = ramp,
                         .launch = paced - busy};
  t.source = weaker(fit.source, m.hbm.source);
  return t;
}

StepTime time(std::span<const Op> ops, const Machine& m, Launch launch, bool overlap_links) {
  StepTime s;
  std::array<Seconds, kNumBounds> by_bound{}, floor_by_bound{};
  std::array<Seconds, kNumOpClasses> spread_by_class{};
  for (const Op& op : ops) {
    const OpTime t = time(op, m, launch);
    s.floor += t.floor;
    floor_by_bound[static_cast<std::size_t>(t.floor_bound)] += t.floor;
    s.link_floor += t.link_floor;
    if (op.op_class == OpClass::collective) s.link_expected += t.expected;
    else s.expected += t.expected;
    by_bound[static_cast<std::size_t>(t.bound)] += t.expected;
    spread_by_class[static_cast<std::size_t>(op.op_class)] += t.spread;
    s.gap += t.gap;
    s.source = weaker(s.source, t.source);
  }
  const StepSums<double> sums{s.floor.value, s.expected.value, s.link_floor.value,
                              s.link_expected.value};
  const Seconds link_excess{sums.link_excess()}, exposed{sums.exposed(overlap_links)};
  s.floor += link_excess;
  s.expected += exposed;
  s.gap.link = exposed - link_excess;
  double variance = 0;
  for (const Seconds& c : spread_by_class) variance += c.value * c.value;
  s.spread = Seconds{std::sqrt(variance)};
  for (int i = 0; i < kNumBounds; ++i) {
    if (by_bound[i] > by_bound[static_cast<std::size_t>(s.bound)]) s.bound = static_cast<Bound>(i);
    if (floor_by_bound[i] > floor_by_bound[static_cast<std::size_t>(s.floor_bound)])
      s.floor_bound = static_cast<Bound>(i);
  }
  if (link_excess > Seconds{}) s.floor_bound = Bound::link;
  return s;
}

Work total_work(std::span<const Op> ops) {
  Work sum;
  for (const Op& op : ops) sum += op.count * op.work;
  return sum;
}

}  // namespace kvroof
