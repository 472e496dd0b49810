// The strict reader: fills a struct from a Node by its field table. Every key must be known, every
// value of the right type, unit and range; all errors of a file are collected.
#pragma once
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "model/fields.hpp"

namespace kvroof {

struct ReadContext {
  Errors& errors;
  std::set<std::string, std::less<>>& given;  // dotted paths that the file gave
};

/// "an integer from 1 to 1024", "a quantity with its unit such as 80 GiB", "one of a, b, c".
std::string expected_number(const Field& f, bool whole);
std::string expected_words(std::span<const std::string_view> words);
/// "(2000? 2048?)" after 2k, "(80 what?)" after a bare 80 where a unit is needed.
std::string number_hint(const Node& n);
/// nullopt and an error when the node is no number in the range.
std::optional<double> read_number(const Node& n, std::string_view path, const Field& f, bool whole,
                                  ReadContext& c);
std::optional<double> read_quantity(const Node& n, std::string_view path, const Field& f, Measure m,
                                    ReadContext& c);

template <class T>
void read_fields(const Node& n, std::string_view path, T& out, ReadContext& c);

template <class T>
void read_value(const Node& n, const std::string& path, const Field& f, T& out, ReadContext& c) {
  const auto refuse = [&](const std::string& expected) {
    c.errors.add(n.mark, path, "expected " + expected + ", got " + described(n) + number_hint(n));
  };
  const auto refuse_word = [&](std::span<const std::string_view> words) {
    c.errors.add(n.mark, path,
                 "expected " + expected_words(words) + ", got " + described(n) +
                     (n.is_scalar() ? did_you_mean(n.text, {words.begin(), words.end()}) : ""));
  };
  if (!f.automatic.empty() && (n.is_null() ? "null" : n.text) == f.automatic) return;
  if constexpr (Custom<T>) {
    read_custom(n, path, f, out, c);
  } else if constexpr (is_optional<T>) {
    if (n.is_null()) return;
    typename T::value_type value{};
    read_value(n, path, f, value, c);
    out = std::move(value);
  } else if constexpr (is_vector<T>) {
    if (!n.is_sequence()) return refuse("a list");
    for (std::size_t i = 0; i < n.items.size(); ++i) {
      out.emplace_back();
      read_value(n.items[i], path + "[" + std::to_string(i) + "]", f, out.back(), c);
    }
  } else if constexpr (HasFields<T>) {
    if constexpr (HasShorthand<T>)
      if (n.is_scalar())
        return read_value(n, path, shorthand_field<T>(), out.*Shorthand<T>::member, c);
    read_fields(n, path, out, c);
  } else if constexpr (std::same_as<T, bool>) {
    if (n.is_scalar() && !n.quoted && (n.text == "true" || n.text == "false"))
      out = n.text == "true";
    else refuse("true or false");
  } else if constexpr (std::same_as<T, int>) {
    if (const auto v = read_number(n, path, f, true, c)) out = static_cast<int>(*v);
  } else if constexpr (std::same_as<T, double>) {
    if (const auto v = read_number(n, path, f, f.whole, c)) out = *v;
  } else if constexpr (is_quantity<T>) {
    if (const auto v = read_quantity(n, path, f, measure_of<T>(), c)) out = T{*v};
  } else if constexpr (std::same_as<T, std::string>) {
    if (n.is_scalar() && !n.text.empty() && n.text.size() <= 4096) out = n.text;
    else refuse("a text");
  } else if constexpr (std::same_as<T, Dtype>) {
    std::vector<std::string_view> names;
    for (const DtypeInfo& i : kDtypes) names.push_back(i.name);
    const std::optional<Dtype> d = n.is_scalar() ? dtype_from_name(n.text) : std::nullopt;
    if (d) out = *d;
    else refuse_word(names);
  } else {
    static_assert(HasWords<T>, "no way to read this type");
    for (std::size_t i = 0; i < std::size(Words<T>::names); ++i)
      if (n.is_scalar() && n.text == Words<T>::names[i]) {
        out = static_cast<T>(i);
        return;
      }
    refuse_word(Words<T>::names);
  }
}

/// The first keys of a mapping.
struct KeyLister {
  std::string list = {};
  int count = 0;
  template <class M>
  void operator()(std::string_view key, M&, const Field&) {
    if (++count <= 3) list.append(count > 1 ? ", " : "").append(key);
  }
};
/// "a mapping (value, source)", "a mapping (mean, p50, p95, …)".
template <class T>
std::string expected_mapping() {
  T value{};
  KeyLister lister;
  fields(lister, value);
  return "a mapping (" + lister.list + (lister.count > 3 ? ", …)" : ")");
}

/// Visits the fields of one mapping, then names the keys that are left.
class Reader {
 public:
  Reader(const Node& node, std::string_view path, ReadContext& c)
      : node_(node), path_(path), c_(c) {}

  template <class M>
  void operator()(std::string_view key, M& member, const Field& f) {
    known_.push_back(key);
    const Node* n = node_.find(key);
    if (!f.alias.empty()) {
      known_.push_back(f.alias);
      const Node* other = node_.find(f.alias);
      if (n && other)
        c_.errors.add(other->mark, join_path(path_, f.alias),
                      "means the same as '" + std::string(key) + "'; expected one of the two");
      if (!n) n = other;
    }
    const std::string path = join_path(path_, key);
    if (n) {
      c_.given.insert(path);
      read_value(*n, path, f, member, c_);
    } else if (f.required) {
      c_.errors.add(node_.mark, path, "expected a value (" + std::string(f.doc) + "), got nothing");
    }
  }
  void done() {
    for (const Node::Key& k : node_.keys)
      if (std::find(known_.begin(), known_.end(), k.name) == known_.end())
        c_.errors.add(k.mark, "",
                      "unknown key '" + join_path(path_, printable_key(k.name)) + "'" +
                          did_you_mean(k.name, known_));
  }

 private:
  static std::string printable_key(const std::string& key) {
    std::string shown = key.substr(0, 80);
    for (char& ch : shown)
      if (static_cast<unsigned char>(ch) < 0x20 || static_cast<unsigned char>(ch) > 0x7e) ch = '?';
    return shown;
  }
  const Node& node_;
  std::string_view path_;
  ReadContext& c_;
  std::vector<std::string_view> known_;
};

template <class T>
void read_fields(const Node& n, std::string_view path, T& out, ReadContext& c) {
  if (!n.is_map()) {
    c.errors.add(n.mark, path,
                 "expected " + expected_mapping<T>() + ", got " +
                     (n.is_null() && path.empty() ? "an empty file" : described(n)));
    return;
  }
  Reader reader(n, path, c);
  fields(reader, out);
  reader.done();
}

}  // namespace kvroof
