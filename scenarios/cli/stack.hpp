// Figures one below the other, as one scene or one file.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "reports/html.hpp"
#include "reports/scene.hpp"

namespace kvroof::cli {

/// The first one's caption; tips of the later ones keep pointing at their own.
reports::Scene stacked(std::span<const reports::Scene> scenes);

/// SVG, PNG, PDF or a self-contained HTML page, by the file's ending;
/// an exit code, its reason on stderr.
int write_figures(const std::vector<reports::Figure>& figures, const std::string& file);

}  // namespace kvroof::cli
