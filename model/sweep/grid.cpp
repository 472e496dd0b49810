#include "model/sweep/grid.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "model/user_error.hpp"

namespace kvroof::sweep {
namespace {

constexpr double kMostPoints = 1e15;
constexpr double kMostValues = 1e6;

std::optional<double> number(std::string_view s) {
  double v = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (error != std::errc{} || end != s.data() + s.size() || !std::isfinite(v)) return std::nullopt;
  return v;
}

/// first..last, with x factor or + step behind; step 1 when neither is given.
std::vector<Node> progression(std::string_view spec, const std::string& text) {
  const auto refuse = [&]() -> UserError {
    return UserError("--sweep " + text +
                     ": expected key=a,b,c or key=first..last, with xFACTOR or +STEP behind");
  };
  const std::size_t dots = spec.find("..");
  const std::size_t by = spec.find_first_of("x+", dots);
  const auto first = number(spec.substr(0, dots));
  const auto last = number(spec.substr(dots + 2, by == spec.npos ? by : by - dots - 2));
  const auto step = by == spec.npos ? 1.0 : number(spec.substr(by + 1)).value_or(0);
  const bool factor = by != spec.npos && spec[by] == 'x';
  if (!first || !last || *first > *last || !(step > (factor ? 1 : 0)) || (factor && *first <= 0))
    throw refuse();
  const double count = factor ? std::log(*last / *first) / std::log(step) : (*last - *first) / step;
  if (count > kMostValues) throw UserError("--sweep " + text + ": expected at most 1e6 values");
  std::vector<Node> values;
  const double end =
      *last * (1 + 1e-12);  // part of the axis even if rounding puts it a hair beyond
  const auto value = [&](double i) {
    return factor ? *first * std::pow(step, i) : *first + i * step;
  };
  for (double i = 0; value(i) <= end; ++i)
    values.push_back(plain_node(fmt::format("{}", value(i))));
  return values;
}

}  // namespace

Slot slot_of(std::string_view path) {
  if (path == "workload.max_concurrency" || path == "workload.batch") return Slot::batch;
  if (path == "workload.input_len") return Slot::prompt;
  if (path == "workload.output_len") return Slot::output;
  if (path == "workload.context") return Slot::context;
  if (path == "workload.prefix_hit_rate") return Slot::prefix_hit;
  return Slot::deployment;
}

std::string value_text(const Node& v) {
  if (!v.is_scalar()) return v.is_null() ? "null" : to_json(v);
  return v.quoted ? json_quote(v.text) : v.text;
}

std::int64_t Grid::points() const {
  std::int64_t n = 1;
  for (const GridAxis& a : axes) n *= static_cast<std::int64_t>(a.values.size());
  return n;
}

std::int64_t Grid::deployments() const {
  std::int64_t n = 1;
  for (std::size_t i = 0; i < num_outer; ++i) n *= static_cast<std::int64_t>(axes[i].values.size());
  return n;
}

std::int64_t Grid::row() const {
  return axes.size() == num_outer ? 1 : static_cast<std::int64_t>(axes.back().values.size());
}

std::vector<std::int64_t> Grid::digits(std::int64_t point) const {
  std::vector<std::int64_t> d(axes.size());
  for (std::size_t i = axes.size(); i-- > 0;) {
    const auto radix = static_cast<std::int64_t>(axes[i].values.size());
    d[i] = point % radix, point /= radix;
  }
  return d;
}

Grid make_grid(const std::vector<Axis>& given, bool vary_workloads) {
  Grid g;
  double points = 1;
  std::vector<GridAxis> inner;
  for (const Axis& a : given) {
    GridAxis axis{.path = a.path, .slot = vary_workloads ? slot_of(a.path) : Slot::deployment};
    for (const Node& v : a.values) axis.values.push_back(value_text(v));
    points *= static_cast<double>(axis.values.size());
    for (const auto* list : {&g.axes, &inner})
      for (const GridAxis& other : *list)
        if (other.path == axis.path)
          throw UserError("sweep: the axis " + a.path + " is given twice");
    (axis.slot == Slot::deployment ? g.axes : inner).push_back(std::move(axis));
  }
  if (points > kMostPoints)
    throw UserError(fmt::format("sweep: expected at most 1e15 points, got {:.3g}", points));
  g.num_outer = g.axes.size();
  const auto longest = std::max_element(
      inner.begin(), inner.end(),
      [](const auto& a, const auto& b) { return a.values.size() < b.values.size(); });
  if (longest != inner.end()) std::rotate(longest, longest + 1, inner.end());
  g.axes.insert(g.axes.end(), inner.begin(), inner.end());
  return g;
}

Axis parse_axis(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    throw UserError("--sweep: expected key=values, got \"" + text + "\"");
  Axis a{.path = text.substr(0, equals)};
  const std::string spec = text.substr(equals + 1);
  if (spec.find("..") != std::string::npos) {
    a.values = progression(spec, text);
    return a;
  }
  for (std::size_t at = 0; at <= spec.size();) {
    const std::size_t comma = std::min(spec.find(',', at), spec.size());
    if (comma == at) throw UserError("--sweep " + text + ": expected a value before the comma");
    a.values.push_back(plain_node(spec.substr(at, comma - at)));
    at = comma + 1;
  }
  return a;
}

}  // namespace kvroof::sweep
