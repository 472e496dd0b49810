// Load latency: one thread follows a random cycle of pointers, one per 128-byte line, so that every
// load waits for the one before. Every step is timed by itself.
#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/ceilings/load.hpp"
#include "kernels/ceilings/measure.hpp"
#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/hopper/descriptor.cuh"

namespace kvroof::kernels {
namespace {

constexpr int kSteps = 8192, kIdleSteps = 256;  // of a walk; of the same without a load
constexpr int kLine = 128;                      // bytes

enum class Through { l1, l2, shared };

/// next: index of the following line, at the head of each line. Walks kSteps steps from `start`
/// and notes the cycles of each.
template <Through kThrough>
__global__ void chase(const unsigned* next, unsigned start, int lines_in_shared, unsigned* cycles,
                      unsigned* end, ClockSample* clock) {
  __shared__ unsigned line[1024];
  __shared__ unsigned short took[kSteps];
  if constexpr (kThrough == Through::shared)
    for (int i = 0; i < lines_in_shared; ++i) line[i] = next[i * (kLine / 4)];
  const Stopwatch watch = Stopwatch::start();
  unsigned at = start;
#pragma unroll 1
  for (int i = 0; i < kSteps; ++i) {
    unsigned before, after;
    asm volatile("mov.u32 %0, %%clock;" : "=r"(before)::"memory");
    if constexpr (kThrough == Through::l1)
      asm volatile("ld.global.ca.u32 %0, [%1];"
                   : "=r"(at)
                   : "l"(next + std::size_t{at} * (kLine / 4)));
    else if constexpr (kThrough == Through::l2)
      asm volatile("ld.global.cg.u32 %0, [%1];"
                   : "=r"(at)
                   : "l"(next + std::size_t{at} * (kLine / 4)));
    else
      asm volatile("ld.volatile.shared.u32 %0, [%1];"
                   : "=r"(at)
                   : "r"(hopper::shared_address(line) + at * 4));
    // The clock may only be read when the value is there: the empty use ties the two.
    asm volatile(
        "{.reg .pred p; setp.eq.u32 p, %1, 0xffffffff; @p trap;}\n"
        "mov.u32 %0, %%clock;"
        : "=r"(after)
        : "r"(at)
        : "memory");
    took[i] = static_cast<unsigned short>(::min(after - before, 65535u));
  }
  watch.stop(clock);
  *end = at;
  for (int i = 0; i < kSteps; ++i) cycles[i] = took[i];
}

/// The cost of reading the clock twice and of the test between, without a load.
__global__ void chase_nothing(unsigned* cycles) {
  unsigned at = threadIdx.x;
  for (int i = 0; i < kIdleSteps; ++i) {
    unsigned before, after;
    asm volatile("mov.u32 %0, %%clock;" : "=r"(before)::"memory");
    asm volatile(
        "{.reg .pred p; setp.eq.u32 p, %1, 0xffffffff; @p trap;}\n"
        "mov.u32 %0, %%clock;"
        : "=r"(after)
        : "r"(at)
        : "memory");
    cycles[i] = after - before;
  }
}

/// One cycle through all lines in random order (Sattolo), as next[line · 32].
std::vector<unsigned> cycle(std::size_t lines) {
  std::vector<unsigned> order(lines);
  std::iota(order.begin(), order.end(), 0u);
  std::mt19937_64 random(fresh_seed());
  std::shuffle(order.begin(), order.end(), random);
  std::vector<unsigned> next(lines * (kLine / 4));
  for (std::size_t i = 0; i < lines; ++i)
    next[order[i] * std::size_t{kLine / 4}] = order[(i + 1) % lines];
  return next;
}

struct Chase {
  std::vector<double> cycles;  // per step, clock overhead taken off
  double sm_clock_hz;
};

template <Through kThrough>
Chase run(std::size_t lines, bool warm) {
  const Buffer next = to_device(cycle(lines));
  const Buffer cycles(kSteps * 4), end(4), clock = clock_buffer();
  chase_nothing<<<1, 1>>>(cycles.as<unsigned>());
  CUDA_CHECK(cudaGetLastError());
  auto idle = to_host<unsigned>(cycles);
  idle.resize(kIdleSteps);
  std::nth_element(idle.begin(), idle.begin() + kIdleSteps / 2, idle.end());
  const double overhead = idle[kIdleSteps / 2];

  unsigned start = 0;
  // Warm: go around until every line has been seen twice. Else each walk goes on where the last
  // stopped, so that its lines are new.
  const auto walks = warm ? 2 * (lines / kSteps + 1) + 1 : 32;
  for (std::size_t w = 0; w < walks; ++w) {
    chase<kThrough><<<1, 1>>>(next.as<unsigned>(), start, static_cast<int>(lines),
                              cycles.as<unsigned>(), end.as<unsigned>(), clock.as<ClockSample>());
    CUDA_CHECK(cudaGetLastError());
    start = to_host<unsigned>(end)[0];
  }
  Chase result{{}, clock_hz_of(clock)};
  for (const unsigned c : to_host<unsigned>(cycles)) result.cycles.push_back(c - overhead);
  if (kThrough ==
      Through::l1)  // a launch starts with a cold L1: its first time around is not a hit
    result.cycles.erase(result.cycles.begin(), result.cycles.begin() + static_cast<long>(lines));
  return result;
}

Ceiling row(const char* name, const std::string& variant, const Chase& c) {
  return {.name = name,
          .variant = variant,
          .unit = "cycle",
          .value = stats(c.cycles),
          .sm_clock_hz = c.sm_clock_hz};
}

/// What L2 holds: the footprint from which on more than 5 % of the loads go to HBM, that is, the
/// 95th percentile lies above the middle between a hit in the far partition and a miss. Bandwidth
/// shows no clear knee: HBM delivers half of L2's rate, and L2 keeps a part of any footprint.
void add_capacity(std::vector<Ceiling>& rows) {
  const auto at = [&](const char* variant) {
    return *std::find_if(rows.begin(), rows.end(), [&](const Ceiling& c) {
      return c.name == "latency_l2" && c.variant == variant;
    });
  };
  // From half of L2 on most lines are at home in, or only held by, the other partition.
  const Ceiling far = at("44 MiB"), miss = at("128 MiB");
  const double threshold = (far.value.median + miss.value.median) / 2;
  double capacity = 0, below_mib = 0, below = 0;
  for (const Ceiling& c : rows) {
    if (c.name != "latency_l2" || capacity > 0) continue;
    const double mib = std::stod(c.variant), p95 = c.value.p95;
    if (p95 > threshold && below > 0)
      capacity = below_mib + (mib - below_mib) * (threshold - below) / (p95 - below);
    below_mib = mib, below = p95;
  }
  rows.push_back({.name = "latency_l2_far",
                  .variant = "44 MiB",
                  .unit = "cycle",
                  .value = far.value,
                  .sm_clock_hz = far.sm_clock_hz});
  if (capacity > 0)
    rows.push_back({.name = "l2_capacity",
                    .variant = "5 % of random loads reach HBM",
                    .unit = "B",
                    .value = stats({capacity * 1024 * 1024}),
                    .bound = static_cast<double>(gpu().l2_bytes),
                    .bound_rule = "size that the device reports"});
}

}  // namespace

std::vector<Ceiling> measure_latency() {
  std::vector<Ceiling> rows;
  rows.push_back(row("latency_smem", "4 KiB", run<Through::shared>(1024, false)));
  rows.push_back(row("latency_l1", "16 KiB", run<Through::l1>(16 * 1024 / kLine, false)));
  for (const int mib : {1, 4, 16, 24, 28, 32, 36, 40, 44, 48, 56, 64, 96, 128}) {
    const Chase c = run<Through::l2>(static_cast<std::size_t>(mib) * 1024 * 1024 / kLine, true);
    rows.push_back(row("latency_l2", std::to_string(mib) + " MiB", c));
  }
  rows.push_back(
      row("latency_hbm", "512 MiB", run<Through::l2>(std::size_t{512} << 20 >> 7, false)));
  add_capacity(rows);
  return rows;
}

}  // namespace kvroof::kernels
