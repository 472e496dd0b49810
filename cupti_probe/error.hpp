// What the probe cannot do, and what would help.
// What a user can mend is a UserError, as everywhere.
#pragma once
#include <stdexcept>
#include <string>

#include "model/user_error.hpp"

namespace kvroof::probe {

/// Nothing to measure with: no GPU, no CUPTI, no permission, counters held by another. Exit 77.
///   permanent   every further attempt in this process would meet it again
struct Unavailable : std::runtime_error {
  std::string remedy;
  bool permanent = true;
  Unavailable(const std::string& what, std::string cure, bool stays = true)
      : std::runtime_error(what), remedy(std::move(cure)), permanent(stays) {}
};

/// The counters answered something that cannot be true (ranges lost, launches missing). Exit 70.
struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace kvroof::probe
