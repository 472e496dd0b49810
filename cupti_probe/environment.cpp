#include "cupti_probe/environment.hpp"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <chrono>

#include "cupti_probe/commit.hpp"
#include "cupti_probe/profiler.hpp"
#include "kernels/device.hpp"

namespace kvroof::probe {
namespace {

std::string version(int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); }

/// CUPTI_API_VERSION 130001 is 13.0, update 1.
std::string cupti_version(std::uint32_t v) {
  return fmt::format("{}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

std::string span(const std::optional<double>& low, const std::optional<double>& high, double unit) {
  if (!low || !high) return "unknown";
  return fmt::format("{:.0f} to {:.0f}", *low / unit, *high / unit);
}

}  // namespace

Environment environment(const std::string& command, bool counters) {
  const kernels::Gpu& gpu = kernels::gpu();
  Environment e{.gpu = gpu.name,
                .cuda = version(gpu.runtime),
                .commit = kCommit,
                .command = command,
                .num_sms = gpu.num_sms,
                .l2_bytes = static_cast<double>(gpu.l2_bytes),
                .memory_bytes = static_cast<double>(gpu.memory_bytes),
                .facts = device_facts(0)};
  e.driver = e.facts.driver.empty() ? "CUDA " + version(gpu.driver) : e.facts.driver;
  e.date = fmt::format(
      "{:%Y-%m-%dT%H:%M:%SZ}",
      fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
  if (counters) {
    e.chip = target().chip;
    e.cupti = cupti_version(cupti().version);
  }
  return e;
}

std::string headline(const Environment& e) {
  std::string line = fmt::format("{} · driver {} · CUDA {}", e.gpu, e.driver, e.cuda);
  line += e.cupti.empty() ? " · no counters" : fmt::format(" · CUPTI {} ({})", e.cupti, e.chip);
  if (e.facts.max_sm_clock_hz)
    line += fmt::format(" · SM up to {:.0f} MHz", *e.facts.max_sm_clock_hz / 1e6);
  if (e.facts.power_limit_watts) line += fmt::format(" · {:.0f} W", *e.facts.power_limit_watts);
  if (e.facts.ecc) line += *e.facts.ecc ? " · ECC on" : " · ECC off";
  return line;
}

std::vector<std::string> sensor_lines(const Environment& e, const SensorRange& sensors) {
  const SensorRange& s = sensors;
  const std::string limit =
      e.facts.power_limit_watts ? fmt::format(", limit {:.0f}", *e.facts.power_limit_watts) : "";
  return {"sm_clock_mhz: " + span(s.low.sm_clock_hz, s.high.sm_clock_hz, 1e6),
          "memory_clock_mhz: " + span(s.low.memory_clock_hz, s.high.memory_clock_hz, 1e6),
          "power_w: " + span(s.low.power_watts, s.high.power_watts, 1) + limit,
          "temperature_c: " + span(s.low.celsius, s.high.celsius, 1)};
}

std::vector<std::string> header_lines(const Environment& e, const SensorRange& sensors) {
  std::vector<std::string> lines;
  const auto add = [&](std::string_view key, const std::string& value) {
    lines.push_back(fmt::format("# {}: {}", key, value));
  };
  add("gpu", fmt::format("{}, {} SMs, L2 {:.0f} MiB, memory {:.1f} GiB", e.gpu, e.num_sms,
                         e.l2_bytes / 1048576, e.memory_bytes / 1073741824));
  add("driver", e.driver);
  add("cuda", e.cuda);
  add("cupti", e.cupti.empty() ? "not used" : fmt::format("{}, chip {}", e.cupti, e.chip));
  for (const std::string& line : sensor_lines(e, sensors)) lines.push_back("# " + line);
  add("date", e.date);
  add("commit", e.commit);
  add("command", e.command);
  return lines;
}

}  // namespace kvroof::probe
