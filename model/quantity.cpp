#include "model/quantity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace kvroof {
namespace {

constexpr std::array kBytes{
    Unit{"TiB", tebi}, Unit{"TB", tera},  Unit{"GiB", gibi}, Unit{"GB", giga}, Unit{"MiB", mebi},
    Unit{"MB", mega},  Unit{"KiB", kibi}, Unit{"KB", kilo},  Unit{"kB", kilo}, Unit{"B", 1}};
constexpr std::array kBandwidth{Unit{"TB/s", tera}, Unit{"GB/s", giga}, Unit{"MB/s", mega},
                                Unit{"KB/s", kilo}, Unit{"B/s", 1}};
constexpr std::array kThroughput{Unit{"PFLOP/s", peta}, Unit{"TFLOP/s", tera},
                                 Unit{"GFLOP/s", giga}, Unit{"MFLOP/s", mega}, Unit{"FLOP/s", 1}};
constexpr std::array kClock{Unit{"GHz", giga}, Unit{"MHz", mega}, Unit{"kHz", kilo}, Unit{"Hz", 1}};
constexpr std::array kSeconds{Unit{"s", 1}, Unit{"ms", milli}, Unit{"us", micro}, Unit{"µs", micro},
                              Unit{"ns", nano}};
constexpr std::array kWatts{Unit{"kW", kilo}, Unit{"W", 1}};
constexpr std::array kJoules{Unit{"J", 1}, Unit{"mJ", milli}, Unit{"uJ", micro}, Unit{"nJ", nano},
                             Unit{"pJ", pico}};
constexpr std::array kEnergyPerByte{Unit{"J/B", 1}, Unit{"nJ/B", nano}, Unit{"pJ/B", pico}};
constexpr std::array kEnergyPerFlop{Unit{"J/FLOP", 1}, Unit{"nJ/FLOP", nano},
                                    Unit{"pJ/FLOP", pico}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::span<const Unit> units(Measure m) {
  switch (m) {
    case Measure::bytes:
      return kBytes;
    case Measure::bandwidth:
      return kBandwidth;
    case Measure::throughput:
      return kThroughput;
    case Measure::clock:
      return kClock;
    case Measure::seconds:
      return kSeconds;
    case Measure::watts:
      return kWatts;
    case Measure::joules:
      return kJoules;
    case Measure::energy_per_byte:
      return kEnergyPerByte;
    case Measure::energy_per_flop:
      return kEnergyPerFlop;
  }
  return {};
}

std::string_view example(Measure m) {
  constexpr std::array<std::string_view, 9> texts{"80 GiB",   "3.35 TB/s", "989 TFLOP/s",
                                                  "1830 MHz", "1.2 us",    "700 W",
                                                  "11 pJ",    "70 pJ/B",   "0.7 pJ/FLOP"};
  return texts[static_cast<std::size_t>(m)];
}

std::optional<double> parse_number(std::string_view text) {
  const std::string_view unsigned_text =
      !text.empty() && (text[0] == '-' || text[0] == '+') ? text.substr(1) : text;
  if (unsigned_text.empty() || text.size() > 64 || !is_digit(unsigned_text[0])) return {};
  // 010 is eight in one YAML and ten in another.
  if (unsigned_text.size() > 1 && unsigned_text[0] == '0' && is_digit(unsigned_text[1])) return {};
  if (text[0] == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

std::optional<double> parse_quantity(std::string_view text, Measure m) {
  std::size_t end = 0;
  while (end < text.size() &&
         (is_digit(text[end]) || text[end] == '.' || text[end] == '+' || text[end] == '-' ||
          ((text[end] == 'e' || text[end] == 'E') && end + 1 < text.size() &&
           (is_digit(text[end + 1]) || text[end + 1] == '-' || text[end + 1] == '+'))))
    ++end;
  const std::optional<double> number = parse_number(text.substr(0, end));
  std::string_view symbol = text.substr(end);
  while (!symbol.empty() && symbol[0] == ' ') symbol.remove_prefix(1);
  if (!number) return {};
  for (const Unit& u : units(m))
    if (u.symbol == symbol && std::isfinite(*number * u.scale)) return *number * u.scale;
  return {};
}

std::string print_quantity(double base_value, Measure m) {
  const std::span<const Unit> all = units(m);
  if (base_value == 0) return fmt::format("0 {}", std::ranges::find(all, 1, &Unit::scale)->symbol);
  std::string best;
  for (const Unit& u : all) {
    if (u.symbol == "µs" || u.symbol == "kB") continue;  // second spellings
    const double scaled = base_value / u.scale;
    std::string text = fmt::format("{} {}", scaled, u.symbol);
    if (parse_quantity(text, m) != base_value) continue;
    if (best.empty() || (std::abs(scaled) >= 1 && text.size() < best.size()))
      best = std::move(text);
  }
  return best.empty() ? fmt::format("{} {}", base_value, all.back().symbol) : best;
}

}  // namespace kvroof
