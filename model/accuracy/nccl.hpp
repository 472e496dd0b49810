// NCCL beside the engines' own collectives: rings of channels in one of three protocols, chosen as
// NCCL's tuning model chooses.
#pragma once
#include "model/collective.hpp"
#include "model/machine.hpp"

namespace kvroof::accuracy {

/// Time of one call inside one machine, S bytes, n GPUs, steps = n − 1 hops of a ring (all-reduce
/// 2(n − 1)):
///   ring      start + steps·hop + (sent_per_gpu + 0.37·S/n) / rate of the protocol
///   in switch start + (1 + 1/n)·S / rate, all-reduce of formats that the switch adds
///   peers     start + bytes / rate (all-to-all, send); small pieces go in words that carry their
///             own flags
/// 0.37·S/n: a rank's own block, which its channels copy from one buffer to the other. Protocol and
/// algorithm are those with the least time by NCCL's own constants (src/graph/tuning.cc, 2.29).
/// `added_in_switch`: false for 8-bit integers. `payload` in bytes as in Collective.
Seconds nccl_time(const Machine& m, const Collective& c, bool added_in_switch = true);

/// What a call from Python adds to a collective that no graph holds.
Seconds eager_call();

/// The host's time for a call through PyTorch's process groups, which check and record it; calls
/// that take the GPUs longer hide it.
Seconds process_group_call();

}  // namespace kvroof::accuracy
