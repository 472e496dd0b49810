// Prints a struct as a Node by its field table: with units for a YAML that reads back, or in base
// units for JSON.
#pragma once
#include <fmt/format.h>

#include <string>

#include "model/fields.hpp"

namespace kvroof {

enum class NumberStyle { with_unit, base_unit };

template <class T>
Node to_node(const T& value, NumberStyle style);

class Printer {
 public:
  explicit Printer(NumberStyle style) : style_(style), node_(map_node()) {}
  template <class M>
  void operator()(std::string_view key, M& member, const Field&) {
    put(node_, std::string(key), to_node(member, style_));
  }
  Node take() { return std::move(node_); }

 private:
  NumberStyle style_;
  Node node_;
};

template <class T>
Node to_node(const T& value, NumberStyle style) {
  if constexpr (Custom<T>) {
    return custom_node(value, style);
  } else if constexpr (is_optional<T>) {
    return value ? to_node(*value, style) : null_node();
  } else if constexpr (is_vector<T>) {
    Node list = sequence_node();
    for (const auto& item : value) list.items.push_back(to_node(item, style));
    return list;
  } else if constexpr (HasFields<T>) {
    Printer printer(style);
    T copy = value;  // a field table visits mutable members
    fields(printer, copy);
    return printer.take();
  } else if constexpr (std::same_as<T, bool>) {
    return plain_node(value ? "true" : "false");
  } else if constexpr (std::same_as<T, int>) {
    return plain_node(fmt::format("{}", value));
  } else if constexpr (std::same_as<T, double>) {
    return plain_node(fmt::format("{}", value));
  } else if constexpr (is_quantity<T>) {
    return style == NumberStyle::base_unit
               ? plain_node(fmt::format("{}", value.value))
               : string_node(print_quantity(value.value, measure_of<T>()));
  } else if constexpr (std::same_as<T, std::string>) {
    return value.empty() ? null_node() : string_node(value);
  } else if constexpr (std::same_as<T, Dtype>) {
    return string_node(std::string(name(value)));
  } else {
    static_assert(HasWords<T>, "no way to print this type");
    return string_node(std::string(Words<T>::names[static_cast<std::size_t>(value)]));
  }
}

}  // namespace kvroof
