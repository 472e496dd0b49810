// Typed, bounded reads of the fields of a Hugging Face config.json.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/node.hpp"
#include "model/user_error.hpp"

namespace kvroof::hf {

/// Bounds of every integer field: generous, and small enough that parameter counts fit 63 bits.
struct Bound {
  std::int64_t max;
};
inline constexpr Bound kLayers{1 << 10}, kWidth{1 << 17}, kInner{1 << 20}, kHeads{1 << 12},
    kHeadDim{1 << 12}, kExperts{1 << 14}, kVocab{1 << 24}, kPositions{1 << 30};

/// Typed reads of a config; fields that are not asked for are not our concern (a config.json holds
/// dozens that no count depends on). Wrong values are added to the errors, with their place.
class Config {
 public:
  Config(const Node& node, Errors& errors) : node_(node), errors_(errors) {}

  bool has(std::string_view key) const;
  /// The first of the names that is present; 0 and an error when none is.
  int need(std::initializer_list<std::string_view> names, Bound bound);
  int get(std::string_view key, Bound bound, int fallback, int min = 0);
  bool flag(std::string_view key, bool fallback);
  std::string text(std::string_view key);
  const Node* list(std::string_view key);
  void refuse(std::string_view key, std::string_view message);
  /// One error that names every field that was needed and missing.
  void refuse_missing(std::string_view of);
  const Node& node() const { return node_; }
  /// Whether all that was read so far is sound: rules between fields speak only then.
  bool sound() const { return errors_.empty() && missing_.empty(); }

 private:
  int integer(std::string_view key, int min, Bound bound);

  const Node& node_;
  Errors& errors_;
  std::vector<std::string> missing_;
};

/// The integer a plain scalar spells, when it lies in [min, max].
std::optional<std::int64_t> whole(const Node& n, std::int64_t min, std::int64_t max);

}  // namespace kvroof::hf
