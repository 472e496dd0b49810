// What the axes of a panel look like: shared by the renderer and by the tests of label boxes.
#pragma once
#include <vector>

#include "reports/scene.hpp"

namespace kvroof::reports {

inline constexpr double kTickSize = 10.5, kAxisTitleSize = 11;

/// Tick labels and axis titles of a framed panel, in px of the scene. The title of the y axis
/// stands level above it, so that nobody has to turn the head.
std::vector<Text> axis_texts(const Panel& p);

}  // namespace kvroof::reports
