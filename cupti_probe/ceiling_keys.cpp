#include "cupti_probe/ceiling_keys.hpp"

#include <fmt/core.h>

#include <cmath>

namespace kvroof::probe {
namespace {

constexpr auto kBandwidth = Measure::bandwidth;
constexpr auto kThroughput = Measure::throughput;
constexpr auto kSeconds = Measure::seconds;

constexpr CeilingKey kKeys[] = {
    {"hbm_read", "hbm_read", kBandwidth, 0.05, Effect::rate, "ops bound by HBM reads (decode)"},
    {"hbm_write", "hbm_write", kBandwidth, 0.05, Effect::rate, "ops bound by HBM writes"},
    {"hbm_copy", "hbm_copy", kBandwidth, 0.05, Effect::rate, "elementwise ops"},
    {"l2_read", "l2_read", kBandwidth, 0.10, Effect::rate, "ops bound by L2"},
    {"l2_effective", "l2_capacity", Measure::bytes, 0.10, Effect::capacity, "shared K/V"},
    {"smem", "smem_read smem_operands", kBandwidth, 0.05, Effect::rate,
     "ops bound by shared memory"},
    {"fp32", "fp32_fma", kThroughput, 0.05, Effect::rate, "ops bound by FP32"},
    {"exps_per_second", "ex2", std::nullopt, 0.05, Effect::rate, "softmax bound by exponentials"},
    {"bf16", "tcgen05_bf16 wgmma_bf16 mma_sync_bf16", kThroughput, 0.05, Effect::rate,
     "bf16 products (prefill)"},
    {"fp16", "tcgen05_fp16 wgmma_fp16 mma_sync_fp16", kThroughput, 0.05, Effect::rate,
     "fp16 products"},
    {"tf32", "wgmma_tf32 mma_sync_tf32", kThroughput, 0.05, Effect::rate, "tf32 products"},
    {"fp8", "tcgen05_fp8 wgmma_fp8 mma_sync_fp8", kThroughput, 0.05, Effect::rate, "fp8 products"},
    {"int8", "wgmma_int8 mma_sync_int8", kThroughput, 0.05, Effect::rate, "int8 products"},
    {"bf16_mma_sync", "mma_sync_bf16", kThroughput, 0.05, Effect::rate,
     "kernels that issue mma.sync"},
    {"tensor_clock", "tcgen05_bf16 wgmma_bf16 mma_sync_bf16", Measure::clock, 0.05, Effect::rate,
     "everything on the tensor cores", Part::sm_clock},
    {"boost_clock", "fp32_fma", Measure::clock, 0.05, Effect::rate, "everything on the other pipes",
     Part::sm_clock},
    {"launch_stream", "launch_stream", kSeconds, 0.20, Effect::per_kernel, "steps without graphs",
     Part::value, true},
    {"launch_graph_node", "launch_graph_node", kSeconds, 0.20, Effect::per_kernel,
     "steps in a graph"},
    {"launch_graph", "launch_graph_submit", kSeconds, 0.20, Effect::none, "host time of a step",
     Part::value, true},
    {"grid_barrier", "grid_barrier", kSeconds, 0.20, Effect::none, "persistent kernels"},
    {"l2_latency", "latency_l2", kSeconds, 0.10, Effect::none, "short kernels"},
    {"hbm_latency", "latency_hbm", kSeconds, 0.10, Effect::none, "short kernels"},
    {"pcie_to_device", "pcie_to_device", kBandwidth, 0.10, Effect::rate, "copies from the host"},
    {"pcie_from_device", "pcie_to_host", kBandwidth, 0.10, Effect::rate, "copies to the host"},
};

}  // namespace

std::span<const CeilingKey> ceiling_keys() { return kKeys; }

bool more_is_better(const kernels::Ceiling& c) { return c.unit != "s" && c.unit != "cycle"; }

const kernels::Ceiling* best(std::string_view names, std::span<const kernels::Ceiling> all) {
  const kernels::Ceiling* found = nullptr;
  for (std::size_t at = 0; at < names.size();) {
    const std::size_t end = std::min(names.find(' ', at), names.size());
    const std::string_view name = names.substr(at, end - at);
    for (const kernels::Ceiling& c : all)
      if (c.name == name && (!found || (more_is_better(c) ? c.value.median > found->value.median
                                                          : c.value.median < found->value.median)))
        found = &c;
    at = end + 1;
  }
  return found;
}

std::optional<MeasuredFigure> figure_of(const CeilingKey& key,
                                        std::span<const kernels::Ceiling> all) {
  const kernels::Ceiling* c = best(key.ceilings, all);
  if (!c || !(c->value.median > 0)) return std::nullopt;
  if (key.part == Part::sm_clock) {
    if (!(c->sm_clock_hz > 0)) return std::nullopt;
    return MeasuredFigure{c->sm_clock_hz, 0, c->sm_clock_hz, c->sm_clock_hz, c};
  }
  double scale = 1;
  if (c->unit == "cycle") {
    if (!(c->sm_clock_hz > 0)) return std::nullopt;
    scale = 1 / c->sm_clock_hz;
  }
  return MeasuredFigure{scale * c->value.median, scale * ci95_of_median(c->value),
                        scale * c->value.min, scale * c->value.p95, c};
}

double ci95_of_median(const kernels::Stats& s) {
  if (s.repeats < 2) return 0;
  return 1.96 * 1.2533 * (s.p95 - s.p5) / 3.29 / std::sqrt(s.repeats);
}

std::string profile_text(const CeilingKey& key, double value) {
  // Four digits: more than two measurements agree on.
  const double rounded = std::stod(fmt::format("{:.4g}", value));
  return key.measure ? print_quantity(rounded, *key.measure) : fmt::format("{}", rounded);
}

}  // namespace kvroof::probe
