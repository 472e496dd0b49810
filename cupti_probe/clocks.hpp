// Clocks, power and temperature through NVML, loaded at run time. Everything here is optional: a
// machine without NVML gives empty answers, and counters read the clocks of a kernel better.
#pragma once
#include <memory>
#include <optional>
#include <string>

namespace kvroof::probe {

/// One look at the GPU.
struct Sensors {
  std::optional<double> sm_clock_hz, memory_clock_hz, power_watts, celsius;
};

/// Range of what was seen between start and stop of a watch.
struct SensorRange {
  Sensors low, high;
  int samples = 0;
};

/// Static facts only NVML knows.
struct DeviceFacts {
  std::string driver;  // "580.159.04"; empty without NVML
  std::optional<double> power_limit_watts, max_sm_clock_hz;
  std::optional<bool> ecc;
};

/// What the GPU's energy counter and SM clock told on average between start and stop of a meter.
/// The counter moves in steps of tens of milliseconds: power is the energy between the first and
/// the last step over the time between them.
struct MeanDraw {
  std::optional<double> watts, sm_clock_hz;
};

/// Reads energy and clock every 2 ms on a thread of its own until stop().
class EnergyMeter {
 public:
  explicit EnergyMeter(int device);
  ~EnergyMeter();
  MeanDraw stop();

 private:
  struct Worker;
  std::unique_ptr<Worker> worker_;
};

DeviceFacts device_facts(int device);

/// Reads the sensors every 10 ms on a thread of its own until stop().
class SensorWatch {
 public:
  explicit SensorWatch(int device);
  ~SensorWatch();
  SensorRange stop();

 private:
  struct Worker;
  std::unique_ptr<Worker> worker_;
};

}  // namespace kvroof::probe
