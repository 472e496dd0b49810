#include "cupti_probe/compare.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "cupti_probe/record.hpp"

namespace kvroof::probe {
namespace {

using Lookup = std::optional<double> (*)(const HardwareProfile&);

template <class T>
std::optional<double> base_value(const kvroof::Figure<T>& figure) {
  if (!figure.value) return std::nullopt;
  if constexpr (requires { figure.value->value; }) return figure.value->value;
  else return static_cast<double>(*figure.value);
}
template <auto Member>
std::optional<double> measured(const HardwareProfile& p) {
  return base_value(p.measured.*Member);
}
template <auto Member>
std::optional<double> datasheet(const HardwareProfile& p) {
  return base_value(p.datasheet.*Member);
}
std::optional<double> none(const HardwareProfile&) { return std::nullopt; }

/// Rates per SM and clock times SMs times the highest clock.
template <auto Rate>
std::optional<double> whole_chip(const HardwareProfile& p) {
  const auto rate = base_value(p.rates.*Rate), sms = base_value(p.datasheet.num_sms),
             clock = base_value(p.datasheet.boost_clock);
  if (!rate || !sms || !clock) return std::nullopt;
  return *rate * *sms * *clock;
}
std::optional<double> mma_sync(const HardwareProfile& p) {
  const auto share = base_value(p.rates.mma_sync_share), bf16 = base_value(p.datasheet.bf16);
  if (!share || !bf16) return std::nullopt;
  return *share * *bf16;
}

struct Row {
  std::string_view key;
  Lookup measured, datasheet;
};
using D = Datasheet;
using M = Measured;
constexpr Row kRows[] = {
    {"hbm_read", measured<&M::hbm_read>, datasheet<&D::hbm_bandwidth>},
    {"hbm_write", measured<&M::hbm_write>, datasheet<&D::hbm_bandwidth>},
    {"hbm_copy", measured<&M::hbm_copy>, datasheet<&D::hbm_bandwidth>},
    {"l2_read", measured<&M::l2_read>, none},
    {"l2_effective", measured<&M::l2_effective>, datasheet<&D::l2>},
    {"smem", measured<&M::smem>, whole_chip<&Rates::smem_bytes_per_sm_clock>},
    {"fp32", measured<&M::fp32>, datasheet<&D::fp32>},
    {"exps_per_second", measured<&M::exps_per_second>, whole_chip<&Rates::exp_per_sm_clock>},
    {"bf16", measured<&M::bf16>, datasheet<&D::bf16>},
    {"fp16", measured<&M::fp16>, datasheet<&D::fp16>},
    {"tf32", measured<&M::tf32>, datasheet<&D::tf32>},
    {"fp8", measured<&M::fp8>, datasheet<&D::fp8>},
    {"int8", measured<&M::int8>, datasheet<&D::int8>},
    {"bf16_mma_sync", measured<&M::bf16_mma_sync>, mma_sync},
    {"tensor_clock", measured<&M::tensor_clock>, datasheet<&D::tensor_clock>},
    {"boost_clock", measured<&M::boost_clock>, datasheet<&D::boost_clock>},
    {"launch_stream", measured<&M::launch_stream>, none},
    {"launch_graph_node", measured<&M::launch_graph_node>, none},
    {"launch_graph", measured<&M::launch_graph>, none},
    {"grid_barrier", measured<&M::grid_barrier>, none},
    {"l2_latency", measured<&M::l2_latency>, none},
    {"hbm_latency", measured<&M::hbm_latency>, none},
    {"pcie_to_device", measured<&M::pcie_to_device>, datasheet<&D::pcie>},
    {"pcie_from_device", measured<&M::pcie_from_device>, datasheet<&D::pcie>},
};

std::string consequence(const ProfileCheck& c) {
  const double deviation = c.deviation();
  if (std::abs(deviation) < 0.01) return {};
  const std::string who(c.key->who);
  switch (c.key->effect) {
    case Effect::rate: {
      const double longer = 1 / (1 + deviation) - 1;
      return fmt::format("{} take {:.1f} % {} than predicted with this figure", who,
                         100 * std::abs(longer), longer > 0 ? "longer" : "less");
    }
    case Effect::per_kernel:
      return fmt::format("{}: {} {} a kernel", who,
                         with_prefix(std::abs(c.now.value - *c.profile), "s"),
                         deviation > 0 ? "more" : "less");
    case Effect::capacity:
      return fmt::format("{}: re-reads begin at {:.1f} MiB, not {:.1f}", who, c.now.value / mebi,
                         *c.profile / mebi);
    case Effect::none:
      break;
  }
  return fmt::format("{}: no prediction rests on it", who);
}

}  // namespace

std::vector<ProfileCheck> compare_profile(const HardwareProfile& profile,
                                          std::span<const kernels::Ceiling> rows) {
  std::vector<ProfileCheck> checks;
  for (const CeilingKey& key : ceiling_keys()) {
    const auto now = figure_of(key, rows);
    if (!now) continue;
    const auto row = std::find_if(std::begin(kRows), std::end(kRows),
                                  [&](const Row& r) { return r.key == key.key; });
    if (row == std::end(kRows))
      throw std::logic_error("no figure of a profile answers the key " + std::string(key.key));
    ProfileCheck check{.key = &key, .profile = row->measured(profile), .now = *now};
    if (!check.profile) {
      check.profile = row->datasheet(profile);
      check.source = Source::datasheet;
    }
    if (check.profile && *check.profile > 0) {
      const double ratio = now->value / *check.profile;
      const double low = now->low * (1 - key.tolerance), high = now->high * (1 + key.tolerance);
      const bool ok = check.source != Source::measured ? ratio <= 1.02 && ratio >= 0.5
                      : key.host ? low <= *check.profile && *check.profile <= high
                                 : std::abs(ratio - 1) <= key.tolerance;
      check.verdict = ok ? Verdict::ok : Verdict::off;
      check.consequence = consequence(check);
    }
    checks.push_back(std::move(check));
  }
  return checks;
}

}  // namespace kvroof::probe
