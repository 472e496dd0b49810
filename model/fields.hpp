// The field table: each input struct lists its fields once, in a function fields(visitor, struct),
// with key, member, range and one line of documentation. The strict reader, the JSON Schema, the
// resolved inputs, --engine-args and the reference page are visitors of that one list.
//
//   template <class V> void fields(V& v, Cost& c) {
//     v("gpu_hour_usd", c.gpu_hour_usd,
//       {.doc = "price of one GPU for an hour, in dollars", .min = 0});
//   }
#pragma once
#include <concepts>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/dtype.hpp"
#include "model/node.hpp"
#include "model/quantity.hpp"

namespace kvroof {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// What is known of a field beyond its member.
struct Field {
  std::string_view doc;
  double min = -kInfinity, max = kInfinity;
  bool above_min = false;  // min itself is excluded
  bool whole = false;      // a double that counts something
  bool required = false;
  std::string_view automatic = "";  // a word that means "not given": auto
  std::string_view alias = "";      // another key that is accepted
  std::string_view vllm = "", sglang = "",
                   trtllm = "";  // engine flags, blank-separated; !--flag turns the field off
};

/// Words of an enumeration, in the order of its values from 0. Specialised beside each enum.
template <class E>
struct Words;

/// Member of a struct that a bare scalar stands for: input_len: 2048 is {mean: 2048}.
template <class T>
struct Shorthand;

/// Stands for any visitor where a struct is asked whether it has a field table.
struct AnyVisitor {
  template <class M>
  void operator()(std::string_view, M&, const Field&) {}
};

template <class T>
concept HasFields = requires(AnyVisitor& v, T& t) {
  fields(v, t);
};
template <class T>
concept HasWords = requires {
  Words<T>::names;
};
template <class T>
concept HasShorthand = requires {
  Shorthand<T>::member;
};
/// Read, printed and described by its own functions read_custom, custom_node and custom_schema.
template <class T>
concept Custom = requires {
  typename T::custom_field;
};

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;

/// Finds the entry of one member.
struct FieldFinder {
  const void* wanted;
  Field found = {};
  template <class M>
  void operator()(std::string_view, M& member, const Field& f) {
    if (&member == wanted) found = f;
  }
};
/// What is known of the member that a bare scalar stands for.
template <HasFields T>
Field shorthand_field() {
  T value{};
  FieldFinder finder{&(value.*Shorthand<T>::member)};
  fields(finder, value);
  return finder.found;
}

inline std::string join_path(std::string_view path, std::string_view key) {
  std::string joined(path);
  if (!joined.empty()) joined += '.';
  return joined.append(key);
}

}  // namespace kvroof
