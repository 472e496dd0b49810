// The named computations a claim file may ask for: each calls the model's own counts.
#pragma once
#include <span>
#include <string_view>

#include "model/claims.hpp"

namespace kvroof::claims {

///   needs, takes  blank-separated argument names: required, and allowed beside them
struct Computation {
  std::string_view name;
  Kind kind;
  std::string_view needs, takes;
  std::string_view formula;
  double (*value)(const Compute&);
};

std::span<const Computation> computations();
const Computation* find_computation(std::string_view name);

/// Whether `word` is one of the blank-separated words.
bool lists(std::string_view words, std::string_view word);

}  // namespace kvroof::claims
