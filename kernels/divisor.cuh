// Division by a number that is the same for a whole launch, without the conversions to and from
// floating point that a plain integer division runs on the XU pipe, beside the exponentials.
#pragma once
#include <cuda_runtime.h>

#include <bit>

namespace kvroof::kernels {

/// XU instructions of a plain integer division: to float, reciprocal, back to integer. What else is
/// divided by the same number nearby only multiplies.
inline constexpr int kDivisionXu = 3;

/// n / d = (hi32(n·multiplier) + n) >> shift for 0 <= n < 2^31, 1 <= d < 2^31
/// (Granlund and Montgomery 1994, figure 4.1).
struct Divisor {
  int divisor = 1;
  unsigned multiplier = 1, shift = 0;

  Divisor() = default;
  explicit Divisor(int d) : divisor(d) {
    const auto u = static_cast<unsigned>(d);
    shift = static_cast<unsigned>(std::bit_width(u - 1));
    const unsigned long long power = 1ull << shift;
    multiplier = static_cast<unsigned>(((power - u) << 32) / u + 1);
  }

  __device__ int quotient(int n) const {
    const auto u = static_cast<unsigned>(n);
    const auto high = static_cast<unsigned>((1ull * u * multiplier) >> 32);
    return static_cast<int>((high + u) >> shift);
  }
  __device__ int remainder(int n, int quotient) const { return n - quotient * divisor; }
};

}  // namespace kvroof::kernels
