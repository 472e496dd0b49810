// Strong units: a Quantity is a double tagged with integer powers of its base units, always held in
// the base unit. Prefixes exist only at the borders (parser and printers), and only here.
#pragma once
#include <compare>

namespace kvroof {

struct Dim {
  int byte = 0, flop = 0, second = 0, element = 0, token = 0, cycle = 0;
  constexpr bool operator==(const Dim&) const = default;
};

constexpr Dim operator+(Dim a, Dim b) {
  return {a.byte + b.byte,       a.flop + b.flop,   a.second + b.second,
          a.element + b.element, a.token + b.token, a.cycle + b.cycle};
}
constexpr Dim operator-(Dim a, Dim b) {
  return {a.byte - b.byte,       a.flop - b.flop,   a.second - b.second,
          a.element - b.element, a.token - b.token, a.cycle - b.cycle};
}

template <Dim D>
struct Quantity {
  double value = 0;

  constexpr Quantity() = default;
  constexpr explicit Quantity(double v) : value(v) {}
  constexpr auto operator<=>(const Quantity&) const = default;

  constexpr Quantity& operator+=(Quantity o) { return value += o.value, *this; }
  constexpr Quantity& operator-=(Quantity o) { return value -= o.value, *this; }
  constexpr Quantity& operator*=(double k) { return value *= k, *this; }

  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity{a.value + b.value};
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity{a.value - b.value};
  }
  friend constexpr Quantity operator*(double k, Quantity q) { return Quantity{k * q.value}; }
  friend constexpr Quantity operator*(Quantity q, double k) { return Quantity{k * q.value}; }
  friend constexpr Quantity operator/(Quantity q, double k) { return Quantity{q.value / k}; }
};

template <Dim A, Dim B>
constexpr auto operator*(Quantity<A> a, Quantity<B> b) {
  if constexpr (A + B == Dim{}) return a.value * b.value;
  else return Quantity<A + B>{a.value * b.value};
}
template <Dim A, Dim B>
constexpr auto operator/(Quantity<A> a, Quantity<B> b) {
  if constexpr (A == B) return a.value / b.value;  // a ratio is a plain number
  else return Quantity<A - B>{a.value / b.value};
}

template <Dim D>
constexpr Quantity<D> max(Quantity<D> a, Quantity<D> b) {
  return a < b ? b : a;
}
template <Dim D>
constexpr Quantity<D> min(Quantity<D> a, Quantity<D> b) {
  return b < a ? b : a;
}

using Bytes = Quantity<Dim{.byte = 1}>;
using Flops = Quantity<Dim{.flop = 1}>;  // floating-point operations (an FMA is two), not a rate
using Seconds = Quantity<Dim{.second = 1}>;
using Elements = Quantity<Dim{.element = 1}>;
using Tokens = Quantity<Dim{.token = 1}>;
using Cycles = Quantity<Dim{.cycle = 1}>;
using Bandwidth = decltype(Bytes{} / Seconds{});
using Throughput = decltype(Flops{} / Seconds{});
using Intensity = decltype(Flops{} / Bytes{});
using Clock = decltype(Cycles{} / Seconds{});
using ElementSize = decltype(Bytes{} / Elements{});  // the only road from Elements to Bytes
using BytesPerToken = decltype(Bytes{} / Tokens{});
using TokenRate = decltype(Tokens{} / Seconds{});

inline constexpr double kilo = 1e3, mega = 1e6, giga = 1e9, tera = 1e12, peta = 1e15;
inline constexpr double milli = 1e-3, micro = 1e-6, nano = 1e-9;
inline constexpr double kibi = 1024.0, mebi = 1024 * kibi, gibi = 1024 * mebi, tebi = 1024 * gibi;
static_assert(tera == 1000 * giga && gibi == 1073741824.0);

}  // namespace kvroof
