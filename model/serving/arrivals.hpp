// Synthetic traffic: lengths from a distribution, arrivals open loop.
#pragma once
#include "model/serving/request.hpp"
#include "model/serving/rng.hpp"

namespace kvroof::serving {

enum class LengthShape { fixed, uniform, exponential, lognormal };

/// Token counts. fixed: mean · uniform: [min, max] · exponential: mean · lognormal: mean and sigma
/// of ln(length). Rounded to whole tokens and clipped to [min, max].
struct LengthDistribution {
  LengthShape shape = LengthShape::fixed;
  double mean = 1, sigma = 0;
  double min = 1, max = 1e6;
};

/// Gaps are gamma with shape `burstiness` and mean 1/rate, as in `vllm bench serve`: 1 is Poisson,
/// below 1 bursts, infinity a metronome. rate 0: everything arrives at once.
struct SyntheticTrace {
  std::int64_t requests = 1000;
  double rate = 0;
  double burstiness = 1;
  LengthDistribution prompt, output;
  std::uint64_t seed = 0;
};

std::int32_t sample(const LengthDistribution& d, Rng& rng);

/// Throws UserError for what is no traffic: a negative or non-finite rate, no requests, lengths
/// below one token or not finite.
Trace synthesise(const SyntheticTrace& s);

/// sigma of a lognormal from its median and 95th percentile:  ln(p95/p50)/1.6449.
double lognormal_sigma(double p50, double p95);

}  // namespace kvroof::serving
