// A GPU and its links as the time law sees it: plain numbers, filled from a hardware profile.
// Datasheet peaks make the floor; measured and fitted figures make the expectation.
#pragma once
#include <array>
#include <string>
#include <string_view>

#include "model/op.hpp"
#include "model/units.hpp"

namespace kvroof {

/// Where a figure comes from, strongest first; a sum carries its weakest.
enum class Source { measured, fitted, datasheet, assumed };
constexpr std::string_view name(Source s) {
  constexpr std::string_view names[] = {"measured", "fitted", "datasheet", "assumed"};
  return names[static_cast<int>(s)];
}
constexpr Source weaker(Source a, Source b) { return a < b ? b : a; }

/// A resource: the datasheet peak and the rate real kernels reach. peak 0: the unit does not exist.
template <class Rate>
struct Roof {
  Rate peak, achieved;
  Source source = Source::assumed;  // of `achieved`
  bool operator==(const Roof&) const = default;
};

/// What kernels of one class achieve, as fractions of the datasheet peak,
/// and what each costs on top.
///   ramp    fill and drain of one kernel (prologue, first loads, epilogue), launch gap excluded
///   block   fill and drain of a thread block that its neighbours on the SM do not hide, once a
///           wave
///   tail    share of the idle slots of a last, part-filled wave that stays idle: a library with
///           many tile shapes picks one that fills it better
///   spread  relative standard deviation of measured over predicted time
struct ClassFit {
  double compute = 1, memory = 1;
  Seconds ramp;
  double tail = 1;
  double spread = 0;
  Source source = Source::assumed;
  Seconds block;
  bool operator==(const ClassFit&) const = default;
};

/// Products in a narrow format against BF16 products: factors on the two shares of a ClassFit (the
/// peak itself is already the format's), and the time to scale and convert one product's input.
struct FormatFit {
  double compute = 1, memory = 1;
  Seconds convert;
  bool operator==(const FormatFit&) const = default;
};

/// Per direction and GPU. Times of a collective:
/// latency by algorithm + bytes / (bandwidth * efficiency).
struct Link {
  Bandwidth bandwidth;
  double efficiency = 1;   // of collectives
  Bandwidth copied;        // from one GPU to another, as measured; 0: efficiency · bandwidth
  Seconds latency;         // one hop: write to a peer and its flag seen
  Seconds base;            // kernel and synchronisation of one collective
  bool in_switch = false;  // the switch reduces (NVLS): (1 + 1/n) * payload instead of 2 (n-1)/n
  int domain = 1;          // GPUs reachable at this rate
  Source source = Source::assumed;
  bool operator==(const Link&) const = default;
};

struct LaunchCost {
  Seconds stream;        // period of back-to-back launches from the host
  Seconds graph_node;    // period of chained nodes inside a CUDA graph
  Seconds graph_launch;  // host cost of one graph launch
  bool operator==(const LaunchCost&) const = default;
};

struct Machine {
  std::string id;
  std::string architecture;  // ampere | ada | hopper | blackwell
  int num_sms = 0;
  Clock sm_clock;     // at which the tensor peaks are quoted
  Clock boost_clock;  // maximum; light loads run there
  std::array<Roof<Throughput>, kNumMathTypes> tensor{};
  double mma_sync_share = 1;  // peak of mma.sync over the peak of the newest tensor instruction
  Roof<Throughput> fp32;
  double exps_per_second = 0;
  Roof<Bandwidth> hbm;
  Roof<Bandwidth> l2;
  Bandwidth smem;
  Bytes l2_effective;  // capacity before re-reads leave L2
  Bytes memory;        // as the driver reports it
  std::array<ClassFit, kNumOpClasses> fit{};
  std::array<FormatFit, kNumMathTypes> format{}, moe_format{};  // of gemm and of moe_gemm
  LaunchCost launch;
  Link nvlink, pcie, nic;
  double power_watts = 0;
  double gpu_hour_usd = 0;  // an input with a stated default, never a fact

  const Roof<Throughput>& roof(MathType m) const { return tensor[static_cast<std::size_t>(m)]; }
  const ClassFit& fit_of(OpClass c) const { return fit[static_cast<std::size_t>(c)]; }
  FormatFit format_of(OpClass c, MathType m) const {
    const auto i = static_cast<std::size_t>(m);
    return c == OpClass::gemm ? format[i] : c == OpClass::moe_gemm ? moe_format[i] : FormatFit{};
  }
};

}  // namespace kvroof
