// A catalogue kernel against its oracle, and random numbers for choosing shapes.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/case.hpp"
#include "kernels/data.hpp"

namespace kvroof::kernels {

inline std::mt19937_64& random_bits() {
  static std::mt19937_64 bits(fresh_seed());
  return bits;
}
/// A whole number, low <= n <= high.
inline double between(int low, int high) {
  return low + static_cast<double>(random_bits()() % static_cast<std::uint64_t>(high - low + 1));
}
inline double one_of(std::initializer_list<double> values) {
  return values.begin()[random_bits()() % values.size()];
}

/// The relative error; within what the kernel states, and below `tolerance` where that is less.
inline double check(const char* kernel, const Args& args,
                    double tolerance = std::numeric_limits<double>::infinity()) {
  const Entry* entry = find_entry(kernel);
  REQUIRE(entry != nullptr);
  const Case c = entry->make(args);
  const Verdict v = c.verify();
  CAPTURE(c.name);
  CAPTURE(arg(args, "sigma", 1));
  CAPTURE(v.relative_error);
  CAPTURE(v.detail);
  CHECK(v.ok);
  CHECK(v.relative_error < tolerance);
  return v.relative_error;
}

/// Every shape, or the first n of them with KVROOF_SHAPES=n (for compute-sanitizer).
inline void check_all(const char* kernel, const std::vector<Args>& shapes) {
  const char* limit = std::getenv("KVROOF_SHAPES");
  const std::size_t count =
      limit != nullptr ? std::min(shapes.size(), std::size_t(std::atoi(limit))) : shapes.size();
  double worst = 0;
  for (std::size_t i = 0; i < count; ++i) worst = std::max(worst, check(kernel, shapes[i]));
  std::printf("%-16s %2zu shapes, worst relative error %.2e\n", kernel, count, worst);
}

}  // namespace kvroof::kernels
