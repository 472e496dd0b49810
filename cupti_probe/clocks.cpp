#include "cupti_probe/clocks.hpp"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>

namespace kvroof::probe {
namespace {

// The few declarations of nvml.h we need; the library comes with the driver, the header does not.
using Device = void*;
constexpr int kSuccess = 0, kClockSm = 1, kClockMemory = 2, kTemperatureGpu = 0;

struct Nvml {
  int (*init)() = nullptr;
  int (*handle)(const char* pci_bus_id, Device*) = nullptr;
  int (*clock)(Device, int type, unsigned* mhz) = nullptr;
  int (*max_clock)(Device, int type, unsigned* mhz) = nullptr;
  int (*power)(Device, unsigned* milliwatts) = nullptr;
  int (*power_limit)(Device, unsigned* milliwatts) = nullptr;
  int (*temperature)(Device, int sensor, unsigned* celsius) = nullptr;
  int (*ecc)(Device, int* current, int* pending) = nullptr;
  int (*driver)(char* text, unsigned length) = nullptr;
  int (*energy)(Device, unsigned long long* millijoules) = nullptr;  // Volta and newer
  bool usable = false;
};

Nvml open_nvml() {
  Nvml n;
  void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return n;
  const auto resolve = [&](const char* name, auto& out) {
    out = reinterpret_cast<std::remove_reference_t<decltype(out)>>(dlsym(library, name));
    return out != nullptr;
  };
  resolve("nvmlDeviceGetTotalEnergyConsumption", n.energy);
  n.usable = resolve("nvmlInit_v2", n.init) &&
             resolve("nvmlDeviceGetHandleByPciBusId_v2", n.handle) &&
             resolve("nvmlDeviceGetClockInfo", n.clock) &&
             resolve("nvmlDeviceGetMaxClockInfo", n.max_clock) &&
             resolve("nvmlDeviceGetPowerUsage", n.power) &&
             resolve("nvmlDeviceGetEnforcedPowerLimit", n.power_limit) &&
             resolve("nvmlDeviceGetTemperature", n.temperature) &&
             resolve("nvmlDeviceGetEccMode", n.ecc) &&
             resolve("nvmlSystemGetDriverVersion", n.driver) && n.init() == kSuccess;
  return n;
}

const Nvml& nvml() {
  static const Nvml n = open_nvml();
  return n;
}

/// CUDA and NVML number devices differently; the PCI bus id is common to both.
Device handle(int device) {
  char id[32] = {};
  Device h = nullptr;
  if (!nvml().usable || cudaDeviceGetPCIBusId(id, sizeof id, device) != cudaSuccess) return nullptr;
  return nvml().handle(id, &h) == kSuccess ? h : nullptr;
}

template <class Call, class... Args>
std::optional<double> ask(double unit, Call call, Args... args) {
  unsigned value = 0;
  if (call(args..., &value) != kSuccess) return std::nullopt;
  return unit * value;
}

Sensors read(Device h) {
  if (!h) return {};
  return {.sm_clock_hz = ask(1e6, nvml().clock, h, kClockSm),
          .memory_clock_hz = ask(1e6, nvml().clock, h, kClockMemory),
          .power_watts = ask(1e-3, nvml().power, h),
          .celsius = ask(1, nvml().temperature, h, kTemperatureGpu)};
}

}  // namespace

DeviceFacts device_facts(int device) {
  DeviceFacts facts;
  const Device h = handle(device);
  if (!h) return facts;
  char text[96] = {};
  if (nvml().driver(text, sizeof text) == kSuccess) facts.driver = text;
  facts.power_limit_watts = ask(1e-3, nvml().power_limit, h);
  facts.max_sm_clock_hz = ask(1e6, nvml().max_clock, h, kClockSm);
  int now = 0, next = 0;
  if (nvml().ecc(h, &now, &next) == kSuccess) facts.ecc = now != 0;
  return facts;
}

struct SensorWatch::Worker {
  std::mutex mutex;
  SensorRange seen;
  std::jthread thread;  // last: it uses the members above

  void add(const Sensors& s) {
    const std::lock_guard lock(mutex);
    const auto merge = [first = seen.samples == 0](std::optional<double>& low,
                                                   std::optional<double>& high,
                                                   const std::optional<double>& now) {
      if (!now) return;
      low = first || !low ? now : std::min(*low, *now);
      high = first || !high ? now : std::max(*high, *now);
    };
    merge(seen.low.sm_clock_hz, seen.high.sm_clock_hz, s.sm_clock_hz);
    merge(seen.low.memory_clock_hz, seen.high.memory_clock_hz, s.memory_clock_hz);
    merge(seen.low.power_watts, seen.high.power_watts, s.power_watts);
    merge(seen.low.celsius, seen.high.celsius, s.celsius);
    ++seen.samples;
  }
};

SensorWatch::SensorWatch(int device) : worker_(std::make_unique<Worker>()) {
  const Device h = handle(device);
  if (!h) return;
  worker_->thread = std::jthread([h, worker = worker_.get()](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      worker->add(read(h));
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
}

SensorWatch::~SensorWatch() = default;

SensorRange SensorWatch::stop() {
  if (worker_->thread.joinable()) {
    worker_->thread.request_stop();
    worker_->thread.join();
  }
  return worker_->seen;
}

struct EnergyMeter::Worker {
  using Time = std::chrono::steady_clock::time_point;
  struct Step {
    Time at;
    double joules;
  };
  std::optional<Step> first, last;  // readings that differ from the one before
  double clock_sum = 0;
  int clocks = 0;
  std::jthread thread;  // last: it uses the members above

  void add(Device h, std::optional<double>& before) {
    unsigned long long millijoules = 0;
    if (nvml().energy && nvml().energy(h, &millijoules) == kSuccess) {
      const double joules = 1e-3 * static_cast<double>(millijoules);
      if (before && joules != *before) {
        last = Step{std::chrono::steady_clock::now(), joules};
        if (!first) first = last;
      }
      before = joules;
    }
    if (const auto hz = ask(1e6, nvml().clock, h, kClockSm)) clock_sum += *hz, ++clocks;
  }
};

EnergyMeter::EnergyMeter(int device) : worker_(std::make_unique<Worker>()) {
  const Device h = handle(device);
  if (!h) return;
  worker_->thread = std::jthread([h, worker = worker_.get()](const std::stop_token& stop) {
    std::optional<double> before;
    while (!stop.stop_requested()) {
      worker->add(h, before);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
}

EnergyMeter::~EnergyMeter() = default;

MeanDraw EnergyMeter::stop() {
  if (worker_->thread.joinable()) {
    worker_->thread.request_stop();
    worker_->thread.join();
  }
  const Worker& w = *worker_;
  MeanDraw draw;
  if (w.clocks > 0) draw.sm_clock_hz = w.clock_sum / w.clocks;
  if (!w.first || w.first->at == w.last->at) return draw;
  const std::chrono::duration<double> passed = w.last->at - w.first->at;
  draw.watts = (w.last->joules - w.first->joules) / passed.count();
  return draw;
}

}  // namespace kvroof::probe
