// Kernels that only move data, as operator tables time them: between replays of one graph nothing
// is handed over on chip, and passes go no faster while L2 could hold them.
#pragma once
#include "model/machine.hpp"

namespace kvroof::accuracy {

/// launches·(ramp + period of graph nodes) + bytes / the rate elementwise kernels reach.
inline Seconds pass_time(const Machine& m, Bytes bytes, double launches = 1) {
  const ClassFit& fit = m.fit_of(OpClass::elementwise);
  return launches * (fit.ramp + m.launch.graph_node) + bytes / (fit.memory * m.hbm.peak);
}

}  // namespace kvroof::accuracy
