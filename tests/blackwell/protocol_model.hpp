// A model of the GPU that runs the roles of kernels/blackwell/forward/protocol.hpp and writes down
// what they do: a graph of events whose edges say "ends before". No role's path depends on when a
// barrier opens, so one recording holds for every timing: what the graph does not order may happen
// in any order, or at the same time.
//
// Copies and products are events of their own: they start some time after they were issued. The
// order of products is that of the issue for the same accumulator alone (PTX ISA 9.1, 9.7.16.6.2),
// or, in the model `in_order`, for all.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "kernels/blackwell/forward/protocol.hpp"

namespace kvroof::test {

using kernels::blackwell::forward::Barrier;

struct Setting {
  std::vector<int> key_tiles;    // of the pairs of query tiles that the block works on
  bool kernel_in_order = false;  // template argument of multiply()
  bool gpu_in_order = false;     // what the tensor cores do
  struct Wait {
    std::string role;
    Barrier barrier;
  };
  std::optional<Wait> without;  // a wait left out, to see that the model notices
};

/// What can go wrong, one line each, empty for a sound protocol:
///   a wait that nobody ends; waits in a circle; a phase with other arrivals than planned; a parity
///   that may be read a phase too early or too late; accesses to the same data, one of them a
///   write, in no order; data read that are not those expected; an arrival after the block's end.
std::vector<std::string> faults(const Setting&);

}  // namespace kvroof::test
