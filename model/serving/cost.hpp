// Money: prices are inputs, never facts.
#pragma once
#include "model/units.hpp"

namespace kvroof::serving {

/// 10⁶ · GPUs · $/h / (3600 · tokens/s). The rate says which tokens: output only, or input too.
constexpr double usd_per_million_tokens(double gpus, double usd_per_gpu_hour, TokenRate rate) {
  return mega * gpus * usd_per_gpu_hour / (3600 * rate.value);
}

constexpr double usd(double gpus, double usd_per_gpu_hour, Seconds time) {
  return gpus * usd_per_gpu_hour * time.value / 3600;
}

}  // namespace kvroof::serving
