// What a sweep prints and the files it leaves; a function of its state alone, so that shards merged
// and a single run give the same bytes.
#pragma once
#include <iosfwd>
#include <string>
#include <vector>

#include "model/sweep/state.hpp"

namespace kvroof::cli {

/// pareto.csv, top.csv, marginals.csv, histograms.csv, ranges.csv and manifest.json in `folder`.
/// Returns their paths with what is in them.
std::vector<std::string> write_sweep_files(const std::string& folder, const sweep::State& state,
                                           const sweep::Kept& kept);

void print_sweep(std::ostream& out, const sweep::State& state, const sweep::Kept& kept,
                 const std::string& format);

/// The state file of a slice: shard-00001-of-00004.json.
std::string state_file(std::int64_t index, std::int64_t count);

}  // namespace kvroof::cli
