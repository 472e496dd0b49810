// The `sweep:` block of a scenario: key paths of the field table with the values they take.
#include <fmt/format.h>

#include <cmath>
#include <set>

#include "model/printer.hpp"
#include "model/reader.hpp"
#include "model/scenario_fields.hpp"
#include "model/user_error.hpp"

namespace kvroof {
namespace {

/// Every dotted path of the field table; lists and optional blocks included.
struct Paths {
  std::string prefix;
  std::set<std::string, std::less<>>& out;
  template <class M>
  void operator()(std::string_view key, M&, const Field&) {
    const std::string path = join_path(prefix, key);
    out.insert(path);
    descend<M>(path);
  }
  template <class M>
  void descend(const std::string& path) {
    if constexpr (is_optional<M>) {
      descend<typename M::value_type>(path);
    } else if constexpr (HasFields<M>) {
      M value{};
      Paths inner{path, out};
      fields(inner, value);
    }
  }
};

const std::set<std::string, std::less<>>& known_paths() {
  static const std::set<std::string, std::less<>> paths = [] {
    std::set<std::string, std::less<>> found;
    Scenario s;
    Paths visitor{"", found};
    fields(visitor, s);
    return found;
  }();
  return paths;
}

/// {pow2: [1, 512]} and {range: [first, last, step]}.
std::vector<Node> expand(const Node& n, const std::string& path, ReadContext& c) {
  const auto refuse = [&](std::string_view message) {
    c.errors.add(n.mark, path, message);
    return std::vector<Node>{};
  };
  if (n.is_sequence())
    return n.items.empty() ? refuse("expected at least one value, got an empty list") : n.items;
  constexpr std::string_view kForms =
      "expected a list of values, {pow2: [first, last]} or {range: [first, last, step]}";
  if (!n.is_map() || n.keys.size() != 1 || !n.items[0].is_sequence()) return refuse(kForms);
  std::vector<double> bounds;
  for (const Node& item : n.items[0].items) {
    const auto v = read_number(item, path, {.doc = "", .min = 0, .max = 1e9}, false, c);
    if (!v) return {};
    bounds.push_back(*v);
  }
  std::vector<Node> values;
  const auto add = [&](double v) {
    values.push_back(plain_node(fmt::format("{}", v)));
    values.back().mark = n.mark;
  };
  if (n.keys[0].name == "pow2" && bounds.size() == 2 && bounds[0] >= 1 && bounds[0] <= bounds[1]) {
    for (double v = bounds[0]; v <= bounds[1]; v *= 2) add(v);
  } else if (n.keys[0].name == "range" && bounds.size() == 3 && bounds[2] > 0 &&
             bounds[0] <= bounds[1]) {
    const double steps = std::floor((bounds[1] - bounds[0]) / bounds[2] + 1e-9);
    if (steps > 1e5) return refuse("expected at most 100000 values");
    for (double i = 0; i <= steps; ++i) add(bounds[0] + i * bounds[2]);
  } else {
    return refuse(kForms);
  }
  return values;
}

}  // namespace

void read_custom(const Node& n, const std::string& path, const Field&, Sweep& out, ReadContext& c) {
  if (!n.is_map())
    return c.errors.add(n.mark, path, "expected key paths with their values, got " + described(n));
  const std::vector<std::string_view> known(known_paths().begin(), known_paths().end());
  for (std::size_t i = 0; i < n.keys.size(); ++i) {
    const std::string& key = n.keys[i].name;
    if (!known_paths().count(key) || key == "sweep" || key == "extends" || key == "schema")
      c.errors.add(n.keys[i].mark, path,
                   "unknown key path " + described(string_node(key)) + did_you_mean(key, known));
    out.axes.push_back({key, expand(n.items[i], join_path(path, key), c)});
  }
}

Node custom_node(const Sweep& sweep, NumberStyle) {
  Node map = map_node();
  for (const Axis& a : sweep.axes) {
    std::vector<Node> values = a.values;
    // Bare words, h200-sxm-141gb, are strings wherever this is printed; numbers stay numbers.
    for (Node& v : values) {
      const std::optional<double> number = v.quoted ? std::nullopt : parse_number(v.text);
      if (number) v.text = fmt::format("{}", *number);
      else v.quoted = v.is_scalar() && v.text != "true" && v.text != "false";
    }
    put(map, a.path, sequence_node(std::move(values)));
  }
  return map;
}

}  // namespace kvroof
