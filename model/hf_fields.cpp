#include "model/hf_fields.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "model/quantity.hpp"

namespace kvroof::hf {

bool Config::has(std::string_view key) const {
  const Node* n = node_.find(key);
  return n && !n->is_null();
}

int Config::need(std::initializer_list<std::string_view> names, Bound bound) {
  for (const std::string_view name : names)
    if (has(name)) return integer(name, 1, bound);
  const std::string first(*names.begin());
  if (std::find(missing_.begin(), missing_.end(), first) == missing_.end())
    missing_.push_back(first);
  return 0;
}

int Config::get(std::string_view key, Bound bound, int fallback, int min) {
  return has(key) ? integer(key, min, bound) : fallback;
}

bool Config::flag(std::string_view key, bool fallback) {
  if (!has(key)) return fallback;
  const Node& n = *node_.find(key);
  if (n.is_scalar() && !n.quoted && (n.text == "true" || n.text == "false"))
    return n.text == "true";
  errors_.add(n.mark, key, "expected true or false, got " + described(n));
  return fallback;
}

std::string Config::text(std::string_view key) {
  if (!has(key)) return {};
  const Node& n = *node_.find(key);
  if (n.is_scalar()) return n.text;
  errors_.add(n.mark, key, "expected a text, got " + described(n));
  return {};
}

const Node* Config::list(std::string_view key) {
  if (!has(key)) return nullptr;
  const Node& n = *node_.find(key);
  if (n.is_sequence()) return &n;
  errors_.add(n.mark, key, "expected a list, got " + described(n));
  return nullptr;
}

void Config::refuse(std::string_view key, std::string_view message) {
  const Node* n = node_.find(key);
  errors_.add(n ? n->mark : node_.mark, key, message);
}

void Config::refuse_missing(std::string_view of) {
  if (!missing_.empty())
    errors_.add(node_.mark, "",
                fmt::format("{} needs the missing field{} {}", of, missing_.size() > 1 ? "s" : "",
                            fmt::join(missing_, ", ")));
}

int Config::integer(std::string_view key, int min, Bound bound) {
  const Node& n = *node_.find(key);
  const std::optional<std::int64_t> v = whole(n, min, bound.max);
  if (!v)
    errors_.add(
        n.mark, key,
        fmt::format("expected an integer from {} to {}, got {}", min, bound.max, described(n)));
  return static_cast<int>(v.value_or(min));
}

std::optional<std::int64_t> whole(const Node& n, std::int64_t min, std::int64_t max) {
  const std::optional<double> v = n.is_scalar() && !n.quoted ? parse_number(n.text) : std::nullopt;
  if (!v || *v != std::floor(*v) || *v < static_cast<double>(min) || *v > static_cast<double>(max))
    return {};
  return static_cast<std::int64_t>(*v);
}

}  // namespace kvroof::hf
