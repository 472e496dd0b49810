// Runs a catalogue entry's verification over shapes; random numbers for choosing them.
// KVROOF_SHAPES=n runs the first n shapes of each kernel (for compute-sanitizer).
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "kernels/case.hpp"
#include "kernels/data.hpp"
#include "kernels/device.hpp"

namespace kvroof::kernels {

inline std::mt19937_64& random_bits() {
  static std::mt19937_64 bits(fresh_seed());
  return bits;
}
inline double between(int low, int high) {
  return low + static_cast<double>(random_bits()() % static_cast<std::uint64_t>(high - low + 1));
}
inline double one_of(std::initializer_list<double> values) {
  return values.begin()[random_bits()() % values.size()];
}

inline void check(const char* name, const std::vector<Args>& shapes) {
  const Entry* entry = find_entry(name);
  REQUIRE(entry != nullptr);
  const char* limit = std::getenv("KVROOF_SHAPES");
  const std::size_t count =
      limit != nullptr ? std::min(shapes.size(), std::size_t(std::atoi(limit))) : shapes.size();
  double worst = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Case c = entry->make(shapes[i]);
    const Verdict v = c.verify();
    INFO(c.name << " sigma " << arg(shapes[i], "sigma", 1) << ": error " << v.relative_error << " "
                << v.detail);
    CHECK(v.ok);
    worst = std::max(worst, v.relative_error);
  }
  std::printf("%-16s %2zu shapes, worst relative error %.2e\n", name, count, worst);
}

}  // namespace kvroof::kernels
