// NCCL beside the engines' own collectives: a ring of channels with a start-up of its own.
#pragma once
#include "model/collective.hpp"
#include "model/machine.hpp"

namespace kvroof::accuracy {

/// base + hops·latency + bytes/(efficiency·bandwidth) with NCCL's start and its bandwidth ramp.
/// `payload` in bytes as in Collective.
Seconds nccl_time(const Machine& m, const Collective& c);

/// What a call from Python adds to a collective that no graph holds.
Seconds eager_call();

/// The same through PyTorch's process groups, which check and record every call.
Seconds process_group_call();

}  // namespace kvroof::accuracy
