// Inside of the roofline figure: its axes and roofs.
#pragma once
#include "reports/figures/roofline.hpp"

namespace kvroof::reports {

/// Axes wide enough for every point, ridge and trajectory.
std::pair<Axis, Axis> roofline_axes(const Roofline& f, double width_px, double height_px);
/// Bands, their labels along the line, ridges. Points are blocked in `placer` before.
void add_roofs(Panel& p, Placer& placer, const Roofline& f);
/// Measured where known.
inline Bandwidth usable(const Roofline::Level& l) {
  return l.measured > Bandwidth{} ? l.measured : l.datasheet;
}
inline Throughput usable(const Roofline::Peak& k) {
  return k.measured > Throughput{} ? k.measured : k.datasheet;
}

}  // namespace kvroof::reports
