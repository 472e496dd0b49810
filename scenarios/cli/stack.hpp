// Figures one below the other, as one scene.
#pragma once
#include <span>

#include "reports/scene.hpp"

namespace kvroof::cli {

/// The first one's caption; tips of the later ones keep pointing at their own.
reports::Scene stacked(std::span<const reports::Scene> scenes);

}  // namespace kvroof::cli
