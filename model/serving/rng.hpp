// Random numbers that are the same everywhere: the standard fixes engines but not distributions.
#pragma once
#include <cmath>
#include <cstdint>

namespace kvroof::serving {

/// xoshiro256++ (Blackman and Vigna 2019, public domain), seeded by splitmix64.
class Rng {
 public:
  explicit Rng(std::uint64_t seed) {
    for (std::uint64_t& word : s_) word = splitmix(seed);
  }

  std::uint64_t next() {
    const std::uint64_t result = rotl(s_[0] + s_[3], 23) + s_[0], t = s_[1] << 17;
    s_[2] ^= s_[0], s_[3] ^= s_[1], s_[1] ^= s_[2], s_[0] ^= s_[3], s_[2] ^= t;
    s_[3] = rotl(s_[3], 45);
    return result;
  }

  /// Uniform in [0, 1): 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// Uniform integer in [0, n), n > 0.
  std::uint64_t below(std::uint64_t n) {
    return static_cast<std::uint64_t>(uniform() * static_cast<double>(n));
  }

  /// Mean 1.
  double exponential() { return -std::log1p(-uniform()); }

  /// Marsaglia's polar method, one of the two values kept.
  double normal() {
    double u = 0, v = 0, r = 0;
    do {
      u = 2 * uniform() - 1, v = 2 * uniform() - 1, r = u * u + v * v;
    } while (r >= 1 || r == 0);
    return u * std::sqrt(-2 * std::log(r) / r);
  }

  /// Gamma of a given shape and mean 1 (Marsaglia and Tsang 2000).
  double gamma(double shape) {
    if (shape == 1) return exponential();
    const double boost = shape < 1 ? std::pow(1 - uniform(), 1 / shape) : 1;
    const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
    for (;;) {
      const double x = normal(), v = std::pow(1 + c * x, 3);
      if (v <= 0) continue;
      if (std::log1p(-uniform()) < 0.5 * x * x + d - d * v + d * std::log(v))
        return boost * d * v / shape;
    }
  }

 private:
  static std::uint64_t rotl(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  static std::uint64_t splitmix(std::uint64_t& state) {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::uint64_t s_[4];
};

}  // namespace kvroof::serving
