// Text <-> quantities. The unit is part of the text ("80 GiB", "3.35 TB/s", "1.2 us"); prefixes
// exist only here and in the printers. GB is 1e9 bytes, GiB 2^30: never guessed, always spelled.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "model/energy.hpp"
#include "model/units.hpp"

namespace kvroof {

/// What a text with a unit can measure; the base units are B, B/s, FLOP/s, Hz, s, W, J, J/B, J/FLOP.
enum class Measure {
  bytes,
  bandwidth,
  throughput,
  clock,
  seconds,
  watts,
  joules,
  energy_per_byte,
  energy_per_flop
};

struct Unit {
  std::string_view symbol;
  double scale;  // base units per one
};

/// Accepted units, largest first.
std::span<const Unit> units(Measure m);

/// A text that shows the form: "80 GiB".
std::string_view example(Measure m);

/// Finite decimal numbers only: no hex, octal, infinity, digit separators or leading zeros.
std::optional<double> parse_number(std::string_view text);

/// The value in the base unit; nullopt when the number or the unit is missing or unknown.
std::optional<double> parse_quantity(std::string_view text, Measure m);

/// Shortest text that parse_quantity reads back to exactly the same value.
std::string print_quantity(double base_value, Measure m);

template <class T>
inline constexpr bool is_quantity = false;
template <Dim D>
inline constexpr bool is_quantity<Quantity<D>> = true;
template <Dim D>
inline constexpr bool is_quantity<JoulesTimes<D>> = true;

template <class T>
constexpr Measure measure_of() {
  if constexpr (std::is_same_v<T, Bytes>) return Measure::bytes;
  else if constexpr (std::is_same_v<T, Bandwidth>) return Measure::bandwidth;
  else if constexpr (std::is_same_v<T, Throughput>) return Measure::throughput;
  else if constexpr (std::is_same_v<T, Clock>) return Measure::clock;
  else if constexpr (std::is_same_v<T, Seconds>) return Measure::seconds;
  else if constexpr (std::is_same_v<T, Watts>) return Measure::watts;
  else if constexpr (std::is_same_v<T, Joules>) return Measure::joules;
  else if constexpr (std::is_same_v<T, EnergyPerByte>) return Measure::energy_per_byte;
  else if constexpr (std::is_same_v<T, EnergyPerFlop>) return Measure::energy_per_flop;
}

}  // namespace kvroof
