// What a sweep writes down: enough to go on from, and to merge shards into the whole.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "model/sweep/run.hpp"

namespace kvroof::sweep {

/// A range of a sweep and what was kept of it. `inputs` is a hash of all that the answer depends
/// on; states of different inputs never meet.
struct State {
  std::string inputs;
  Grid grid;
  Reduction how;
  Progress progress;
};

/// JSON with ordered keys; doubles read back to the same bits.
std::string print_state(const State& state, const Kept& kept);

/// A state that was read; `kept` refers to its grid and reduction, hence the indirection.
struct LoadedState {
  std::shared_ptr<State> state;
  Kept kept;
};
/// UserError with the file's name for anything that print_state did not write.
LoadedState read_state(const std::string& text, const std::string& name);

/// All ranges of one sweep as one. UserError unless they cover its points exactly once, in full.
LoadedState merge_states(std::vector<LoadedState> parts);

/// FNV-1a, 64 bits, as 16 hexadecimal digits.
std::string hash_of(const std::vector<std::string>& texts);

}  // namespace kvroof::sweep
