#include "model/serving/arrivals.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/user_error.hpp"

namespace kvroof::serving {
namespace {

void check(const LengthDistribution& d, const char* name) {
  const bool sane = std::isfinite(d.mean) && std::isfinite(d.sigma) && std::isfinite(d.min) &&
                    std::isfinite(d.max) && d.mean >= 1 && d.sigma >= 0 && d.min >= 1 &&
                    d.max >= d.min && d.max <= 1e8;
  if (!sane)
    throw UserError(fmt::format("{}: expected a length of 1 to 1e8 tokens, got mean {} in [{}, {}]",
                                name, d.mean, d.min, d.max));
}

}  // namespace

std::int32_t sample(const LengthDistribution& d, Rng& rng) {
  double x = d.mean;
  switch (d.shape) {
    case LengthShape::fixed:
      return static_cast<std::int32_t>(std::llround(d.mean));
    case LengthShape::uniform:
      x = std::floor(d.min + rng.uniform() * (d.max - d.min + 1));
      break;
    case LengthShape::exponential:
      x = d.mean * rng.exponential();
      break;
    case LengthShape::lognormal:
      x = d.mean * std::exp(d.sigma * rng.normal() - d.sigma * d.sigma / 2);
      break;
  }
  return static_cast<std::int32_t>(std::llround(std::clamp(x, d.min, d.max)));
}

Trace synthesise(const SyntheticTrace& s) {
  check(s.prompt, "input_len");
  check(s.output, "output_len");
  if (s.requests < 1) throw UserError("num_requests: expected at least 1, got none");
  if (!std::isfinite(s.rate) || s.rate < 0)
    throw UserError(fmt::format("request_rate: expected a finite rate > 0, got {}", s.rate));
  if (!std::isfinite(s.burstiness) || s.burstiness <= 0)
    throw UserError(fmt::format("burstiness: expected a number > 0, got {}", s.burstiness));
  Rng gaps(s.seed), sizes(s.seed ^ 0x5eed);  // lengths stay the same when the rate changes
  Trace t;
  t.requests.reserve(static_cast<std::size_t>(s.requests));
  Seconds now;
  for (std::int64_t i = 0; i < s.requests; ++i) {
    if (s.rate > 0 && i > 0) now += Seconds{gaps.gamma(s.burstiness) / s.rate};
    const std::int32_t prompt = sample(s.prompt, sizes), output = sample(s.output, sizes);
    t.requests.push_back({.arrival = now, .prompt = prompt, .output = output});
  }
  return t;
}

double lognormal_sigma(double p50, double p95) { return std::log(p95 / p50) / 1.6448536269514722; }

}  // namespace kvroof::serving
