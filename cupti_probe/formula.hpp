// The formula language of group files: numbers, metric names, + - * / and brackets.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "cupti_probe/groups.hpp"

namespace kvroof::probe {

/// Parses `text` into postfix steps; new metric names are appended to `metrics` with their places.
///   at   where the text starts, for messages and for places
std::vector<Step> parse_formula(std::string_view text, std::string_view file, Place at,
                                std::vector<std::string>& metrics, std::vector<Place>& places);

}  // namespace kvroof::probe
