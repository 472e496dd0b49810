#include "model/reader.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

namespace kvroof {

std::string expected_number(const Field& f, bool whole) {
  const std::string_view noun = whole ? "an integer" : "a number";
  const bool low = std::isfinite(f.min), high = std::isfinite(f.max);
  if (low && high && !f.above_min) return fmt::format("{} from {} to {}", noun, f.min, f.max);
  if (low && high) return fmt::format("{} > {} and <= {}", noun, f.min, f.max);
  if (low) return fmt::format("{} {} {}", noun, f.above_min ? ">" : ">=", f.min);
  if (high) return fmt::format("{} <= {}", noun, f.max);
  return std::string(noun);
}

std::string expected_words(std::span<const std::string_view> words) {
  return fmt::format("one of {}", fmt::join(words, ", "));
}

std::string number_hint(const Node& n) {
  if (!n.is_scalar() || n.text.size() < 2 || n.text.size() > 20) return {};
  const char suffix = n.text.back();
  const auto number = parse_number(std::string_view(n.text).substr(0, n.text.size() - 1));
  if (!number || (suffix != 'k' && suffix != 'K' && suffix != 'M')) return {};
  return suffix == 'M' ? fmt::format(" ({}? {}?)", *number * mega, *number * mebi)
                       : fmt::format(" ({}? {}?)", *number * kilo, *number * kibi);
}

std::optional<double> read_number(const Node& n, std::string_view path, const Field& f, bool whole,
                                  ReadContext& c) {
  constexpr double kIntMax = std::numeric_limits<int>::max();
  const std::optional<double> v = n.is_scalar() && !n.quoted ? parse_number(n.text) : std::nullopt;
  const bool in_range = v && *v <= f.max && (f.above_min ? *v > f.min : *v >= f.min);
  if (in_range && (!whole || (*v == std::floor(*v) && std::abs(*v) <= kIntMax))) return v;
  c.errors.add(n.mark, path,
               fmt::format("expected {}{}, got {}{}", expected_number(f, whole),
                           n.quoted ? " without quotes" : "", described(n), number_hint(n)));
  return {};
}

std::optional<double> read_quantity(const Node& n, std::string_view path, const Field& f, Measure m,
                                    ReadContext& c) {
  const std::optional<double> v = n.is_scalar() ? parse_quantity(n.text, m) : std::nullopt;
  const double min = std::max(f.min, 0.0);
  if (v && *v <= f.max && (f.above_min ? *v > min : *v >= min)) return v;
  std::string expected;
  if (v) {
    expected = fmt::format("a quantity {} {}", f.above_min ? ">" : ">=", print_quantity(min, m));
    if (std::isfinite(f.max)) expected += fmt::format(" and <= {}", print_quantity(f.max, m));
  } else {
    expected = fmt::format("a quantity with its unit, such as {}", example(m));
  }
  const bool bare = !v && n.is_scalar() && parse_number(n.text);
  c.errors.add(n.mark, path,
               fmt::format("expected {}, got {}{}", expected, described(n),
                           bare ? fmt::format(" ({} what?)", n.text) : ""));
  return {};
}

}  // namespace kvroof
