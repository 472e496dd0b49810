// Layout samples: one of each figure, filled with round synthetic numbers near those of a Hopper
// GPU so that labels are as crowded as in earnest. "Measured" values here are predictions times a
// fixed factor; nothing in this file was ever measured.
#pragma once
#include "reports/figures/curves.hpp"
#include "reports/figures/memory_map.hpp"
#include "reports/figures/op_times.hpp"
#include "reports/figures/ratio_strip.hpp"
#include "reports/figures/roofline.hpp"
#include "reports/figures/validation.hpp"
#include "reports/html.hpp"

namespace kvroof::reports::samples {

Roofline decode_roofline();     // one GPU, predicted and "measured", all levels, a trajectory
Roofline predicted_roofline();  // one GPU, predicted only
Roofline three_gpus();
RatioStrip strip();
OpTimes op_times();
Waterfall waterfall();
MemoryMap memory();
KvContext kv_context();
Pareto pareto();
LoadCurve load();
CostContext cost();
Validation validation(std::size_t rows_per_group = 60);

Report report();  // all of them on one page

/// Every sample, laid out wide and narrow, by file stem.
std::vector<std::pair<std::string, Scene>> all_scenes();

}  // namespace kvroof::reports::samples
