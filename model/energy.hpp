// Joules, and joules a second, byte or FLOP: a family of units beside Quantity (joules times D), for
// the few files that speak of power.
#pragma once
#include <compare>

#include "model/units.hpp"

namespace kvroof {

template <Dim D>
struct JoulesTimes {
  double value = 0;

  constexpr JoulesTimes() = default;
  constexpr explicit JoulesTimes(double v) : value(v) {}
  constexpr auto operator<=>(const JoulesTimes&) const = default;

  constexpr JoulesTimes& operator+=(JoulesTimes o) { return value += o.value, *this; }
  friend constexpr JoulesTimes operator+(JoulesTimes a, JoulesTimes b) {
    return JoulesTimes{a.value + b.value};
  }
  friend constexpr JoulesTimes operator-(JoulesTimes a, JoulesTimes b) {
    return JoulesTimes{a.value - b.value};
  }
  friend constexpr JoulesTimes operator*(double k, JoulesTimes e) {
    return JoulesTimes{k * e.value};
  }
  friend constexpr double operator/(JoulesTimes a, JoulesTimes b) { return a.value / b.value; }
};

/// 4 pJ a byte times 2 bytes are 8 pJ; joules over seconds are watts.
template <Dim A, Dim B>
constexpr auto operator*(Quantity<A> q, JoulesTimes<B> e) {
  return JoulesTimes<A + B>{q.value * e.value};
}
template <Dim A, Dim B>
constexpr auto operator/(JoulesTimes<A> e, Quantity<B> q) {
  return JoulesTimes<A - B>{e.value / q.value};
}

using Joules = JoulesTimes<Dim{}>;
using Watts = decltype(Joules{} / Seconds{});
using EnergyPerByte = decltype(Joules{} / Bytes{});
using EnergyPerFlop = decltype(Joules{} / Flops{});

inline constexpr double pico = 1e-12;

}  // namespace kvroof
