// A hardware profile: what the datasheet says, what was measured, what was fitted, what is assumed;
// four blocks that are never mixed. null is unknown: an error where it is needed, never zero.
#pragma once
#include <array>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/fields.hpp"
#include "model/machine.hpp"
#include "model/power.hpp"

namespace kvroof {

/// One number and where it comes from.
template <class T>
struct Figure {
  std::optional<T> value;
  std::string source;
  bool known() const { return value.has_value(); }
  bool operator==(const Figure&) const = default;
};

enum class Architecture { ampere, ada, hopper, blackwell };
template <>
struct Words<Architecture> {
  static constexpr std::string_view names[] = {"ampere", "ada", "hopper", "blackwell"};
};

/// Dense peaks, at the clock they are quoted for; 0 FLOP/s: the unit does not exist.
struct Datasheet {
  Figure<Throughput> fp32, tf32, bf16, fp16, fp8, int8, fp4;
  Figure<Bandwidth> hbm_bandwidth;
  Figure<Bytes> memory, l2, smem_per_sm, smem_per_block;
  Figure<int> num_sms;
  Figure<Clock> tensor_clock, boost_clock;
  Figure<Watts> power;
  Figure<Bandwidth> nvlink, pcie, nic;  // per direction
  Figure<int> nvlink_domain;
  bool operator==(const Datasheet&) const = default;
};

/// Operations one SM finishes per clock on the pipes no datasheet lists.
struct Rates {
  Figure<double> exp_per_sm_clock, smem_bytes_per_sm_clock, mma_sync_share;
  bool operator==(const Rates&) const = default;
};

/// Ceilings of micro-kernels on a real GPU; written by `kvroof-probe ceilings --write`.
struct Measured {
  std::string device, driver, cuda, date;
  Figure<Bandwidth> hbm_read, hbm_write, hbm_copy, l2_read, smem;
  Figure<Throughput> fp32, tf32, bf16, fp16, fp8, int8, fp4, bf16_mma_sync;
  Figure<double> exps_per_second;
  Figure<Bytes> memory, l2_effective;
  Figure<Clock> tensor_clock, boost_clock;
  Figure<Seconds> launch_stream, launch_graph_node, launch_graph, grid_barrier;
  Figure<Seconds> l2_latency, hbm_latency;
  Figure<Bandwidth> pcie_to_device, pcie_from_device, nvlink;
  bool operator==(const Measured&) const = default;
};

/// The constants of model/power.hpp, as measured; written by `kvroof-probe power --write`.
struct PowerFigures {
  Figure<Watts> held, idle, clocked;
  Figure<double> voltage_slope;
  Figure<EnergyPerFlop> bf16, fp16, fp8, bf16_mma_sync, fp32;
  Figure<EnergyPerByte> hbm_read, hbm_write, l2_read, multicast, smem;
  Figure<Joules> exponential;
  Figure<Watts> knee, droop;
  bool operator==(const PowerFigures&) const = default;
};

/// Share of the datasheet peaks that kernels of one class reach, and the fixed time of each kernel.
struct OpFit {
  std::optional<double> compute, memory;
  std::optional<Seconds> ramp;
  std::optional<double> spread;
  std::string source;
  bool operator==(const OpFit&) const = default;
};

struct Fitted {
  OpFit gemm, moe_gemm, prefill_attention, decode_attention, elementwise, collective;
  bool operator==(const Fitted&) const = default;
};

/// Time of one collective: base + hops · latency + bytes / (bandwidth · efficiency).
struct LinkFit {
  Figure<double> efficiency;
  Figure<Seconds> latency, base;
  Figure<bool> in_switch;
  bool operator==(const LinkFit&) const = default;
};

/// Costs of launches and links that stand between datasheet and measurement; public sources.
struct Host {
  Figure<Seconds> launch_stream, launch_graph_node, launch_graph;
  LinkFit nvlink, pcie, nic;
  bool operator==(const Host&) const = default;
};

/// What nobody published: a stated guess with its reason. Used only where nothing better is known.
struct Assumed {
  Figure<double> hbm_share, tensor_share, fp32_share, exp_per_sm_clock, l2_effective_share,
      gpu_hour_usd;
  Figure<Bandwidth> l2_read, nvlink, pcie, nic;
  Figure<Seconds> launch_stream, launch_graph_node, launch_graph, link_latency, link_base;
  Figure<double> link_efficiency;
  Figure<Clock> tensor_clock, boost_clock;
  Figure<int> num_sms;
  Figure<Bytes> memory, l2;
  Fitted fits;
  bool operator==(const Assumed&) const = default;
};

struct HardwareProfile {
  std::string schema;
  std::string id, name;
  Architecture architecture = Architecture::hopper;
  std::string note;
  Datasheet datasheet;
  Rates rates;
  Measured measured;
  PowerFigures power;
  Fitted fitted;
  Host host;
  Assumed assumed;

  std::string file;                          // where it was read from; not a field
  std::set<std::string, std::less<>> given;  // dotted paths
};

/// Reads and checks a profile file; UserError with every fault.
HardwareProfile load_profile(const std::string& path);
HardwareProfile profile_from_node(const Node& root);

/// The profile as a YAML text that load_profile reads back to an equal value.
std::string print_profile(const HardwareProfile& profile);

/// Which roof the expectation is made from.
enum class RoofKind { best, datasheet };

/// Peaks from the datasheet; achieved rates from `measured`, else `fitted`, else peak times the
/// assumed share. Figures that every prediction needs (SMs, clock, HBM, memory, BF16, launch) must
/// be known: UserError names field and file otherwise. A tensor path that is null stays 0 = "no
/// such unit"; require_math refuses to guess when a scenario needs it.
Machine to_machine(const HardwareProfile& profile, RoofKind kind = RoofKind::best);

/// The power law of this GPU; nullopt where a figure that every kernel needs was not measured.
/// Formats of the tensor cores that were not measured stay 0, as does droop: no such effect.
std::optional<PowerLaw> power_law(const HardwareProfile& profile);

/// UserError when the profile does not know the peak of this path:
/// neither figure nor an explicit 0.
void require_math(const HardwareProfile& profile, MathType math);

}  // namespace kvroof
