// A catalogue entry's verification at one shape, and random numbers for choosing shapes.
#pragma once
#include <doctest/doctest.h>

#include <random>

#include "kernels/case.hpp"
#include "kernels/data.hpp"

namespace kvroof::kernels {

inline void check(const char* kernel, const Args& args, double tolerance) {
  const Case c = find_entry(kernel)->make(args);
  const Verdict v = c.verify();
  CAPTURE(c.name);
  CAPTURE(v.detail);
  CHECK(v.relative_error < tolerance);
  CHECK(v.ok);
}

struct Random {
  std::mt19937_64 engine{fresh_seed()};
  double from(int low, int high) {  // [low, high)
    return static_cast<double>(low +
                               static_cast<int>(engine() % static_cast<unsigned>(high - low)));
  }
};

}  // namespace kvroof::kernels
