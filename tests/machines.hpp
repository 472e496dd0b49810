// Machines for tests, by hand from datasheets;
// every fit is ideal so that expectations can be computed.
#pragma once
#include "model/machine.hpp"

namespace kvroof::test {

/// H100 SXM datasheet: 132 SMs, 989.4 TFLOP/s dense BF16, 3.35 TB/s, 80 GB,
/// NVLink 450 GB/s a direction.
inline Machine h100() {
  Machine m;
  m.id = "h100-test";
  m.architecture = "hopper";
  m.num_sms = 132;
  m.sm_clock = Clock{1.83e9}, m.boost_clock = Clock{1.98e9};
  const auto tensor = [&](MathType t, double peak) {
    m.tensor[static_cast<std::size_t>(t)] = {Throughput{peak}, Throughput{peak}, Source::datasheet};
  };
  tensor(MathType::tf32, 494.7e12), tensor(MathType::bf16, 989.4e12),
      tensor(MathType::fp16, 989.4e12);
  tensor(MathType::fp8, 1978.9e12), tensor(MathType::int8, 1978.9e12);
  m.mma_sync_share = 2.0 / 3;
  m.fp32 = {Throughput{66.9e12}, Throughput{66.9e12}, Source::datasheet};
  m.exps_per_second = 132 * 16 * 1.83e9;
  m.hbm = {Bandwidth{3.35e12}, Bandwidth{3.35e12}, Source::datasheet};
  m.l2 = {Bandwidth{5.5e12}, Bandwidth{5.5e12}, Source::datasheet};
  m.l2_effective = Bytes{40e6};
  m.memory = Bytes{81559.0 * mebi};
  m.launch = {Seconds{4e-6}, Seconds{1e-6}, Seconds{3e-6}};
  m.nvlink = {.bandwidth = Bandwidth{450e9},
              .efficiency = 0.8,
              .latency = Seconds{2e-6},
              .base = Seconds{2e-6},
              .in_switch = true,
              .domain = 8};
  m.gpu_hour_usd = 2.5;
  return m;
}

}  // namespace kvroof::test
