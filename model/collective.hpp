// Collectives: what one GPU sends, and the time of the best algorithm on a link.
#pragma once
#include "model/machine.hpp"
#include "model/op.hpp"

namespace kvroof {

/// Bytes each GPU must send at least. all_reduce: 2(n−1)/n·S, or if less (1 + 1/n)·S where the
/// switch reduces; all_gather: (n−1)·S, S one rank's share; all_to_all: (n−1)/n·S; send: S.
Bytes sent_per_gpu(const Collective& c, bool in_switch);

/// Work of one collective: link bytes, one launch, and the payload read and written in HBM once.
Work collective_work(const Collective& c);

/// Time at datasheet link bandwidth, latency left out: the floor.
Seconds link_floor(const Collective& c, const Link& link);

/// Best of the algorithms engines and NCCL use, S bytes, n GPUs, a = hop latency:
///   one-shot   a + (n−1)·S/bw             every rank reads every peer
///   two-shot   2a + 2(n−1)/n·S/bw         reduce-scatter, all-gather through peer memory
///   in-switch  2a + (1+1/n)·S/bw          NVLS, where the link has it
/// plus the base cost of one collective kernel. Ring (NCCL) has 2(n−1) hops and never wins in a
/// node. A send runs at the rate of copies where that is known.
Seconds link_time(const Collective& c, const Link& link);

/// Step cost of a pipeline boundary, all-reduce and so on when only one rank takes part is zero.
constexpr bool trivial(const Collective& c) {
  return c.kind == CollectiveKind::none || (c.ranks <= 1 && c.kind != CollectiveKind::send);
}

}  // namespace kvroof
