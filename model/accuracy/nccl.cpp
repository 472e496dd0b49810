#include "model/accuracy/nccl.hpp"

#include <algorithm>

namespace kvroof::accuracy {
namespace {

// Start of an NCCL kernel and of each hop of its ring, set by hand on the public NCCL tables of
// A100, H100 and B200 machines (ai-dynamo/aiconfigurator, Apache-2.0).
constexpr Seconds kStart{8e-6}, kHop{1.2e-6};
// vLLM's and SGLang's eager rows over their graph rows at small sizes, H100.
constexpr Seconds kEagerCall{20e-6};
// Vidur's small all-reduces on A100 and H100 over the NCCL tables.
constexpr Seconds kProcessGroupCall{30e-6};

}  // namespace

Seconds nccl_time(const Machine& m, const Collective& c) {
  Link link = m.nvlink;
  link.base = kStart, link.latency = kHop;
  return link_time(c, link);
}

Seconds eager_call() { return kEagerCall; }

Seconds process_group_call() { return kProcessGroupCall; }

}  // namespace kvroof::accuracy
