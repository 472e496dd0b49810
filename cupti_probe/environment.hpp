// Where and when something was measured; stands in the head of every record.
#pragma once
#include <string>
#include <vector>

#include "cupti_probe/clocks.hpp"

namespace kvroof::probe {

struct Environment {
  std::string gpu, chip;  // "NVIDIA H200", CUPTI's "GH100" (empty without counters)
  std::string driver, cuda, cupti;
  std::string date, commit, command;  // UTC; git describe of the build
  int num_sms = 0;
  double l2_bytes = 0, memory_bytes = 0;
  DeviceFacts facts;
};

/// Facts of the current device. `counters`: name chip and CUPTI as well.
Environment environment(const std::string& command, bool counters);

/// "NVIDIA H200 · driver 580.159.04 · CUDA 13.0 · CUPTI 13.0.1 (GH100) · SM up to 1980 MHz · …"
std::string headline(const Environment& e);

/// "sm_clock_mhz: 1980 to 1980" and so on: clocks, power and temperature of a run.
std::vector<std::string> sensor_lines(const Environment& e, const SensorRange& sensors);

/// "# key: value" lines for a CSV, those of the sensors among them.
std::vector<std::string> header_lines(const Environment& e, const SensorRange& sensors);

}  // namespace kvroof::probe
