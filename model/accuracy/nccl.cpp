#include "model/accuracy/nccl.hpp"

#include <algorithm>
#include <array>

namespace kvroof::accuracy {
namespace {

// vLLM's and SGLang's eager rows over their graph rows at small sizes, H100.
constexpr Seconds kEagerCall{20e-6};
// Vidur's all-reduces of at most 64 KiB on A100 and H100: their median.
constexpr Seconds kProcessGroupCall{38e-6};

/// LL: words of 8 bytes, half of them flags; LL128: lines of 128 bytes, 8 of them flags; Simple:
/// blocks of a buffer behind a fence.
enum Protocol { kLl, kLl128, kSimple, kNumProtocols };
using PerProtocol = std::array<double, kNumProtocols>;

/// NCCL's tuning model, src/graph/tuning.cc and topo.h: seconds, bytes a second.
struct Tuning {
  PerProtocol start{6.6e-6, 14e-6, 8.4e-6}, hop{0.6e-6, 1.9e-6, 3.4e-6};
  double switch_start = 25e-6;
  double link_share;  // of the datasheet's rate: 20, 20.6 and 40.1 GB/s of a link's 25 and 50
  double most_ll;     // rate of LL in one machine
  double switch_efficiency;
};

/// What the rings really take: small messages' start and hop in LL, and the share of NCCL's rate at
/// 256 MiB and more. Set by hand on the public tables of A100, H100 and B200 machines
/// (ai-dynamo/aiconfigurator, Apache-2.0); those of H200 and GB200 judge them.
struct Ring {
  Seconds start, hop;
  double share;
};

struct Library {
  Tuning tuning;
  Ring ring;
};

Library library(const Machine& m) {
  if (m.architecture == "blackwell")
    return {{.link_share = 0.802, .most_ll = 282e9, .switch_efficiency = 0.74},
            {Seconds{7.7e-6}, Seconds{1.25e-6}, 0.93}};
  if (m.architecture == "hopper")
    return {{.link_share = 0.824, .most_ll = 141e9, .switch_efficiency = 0.85},
            {Seconds{4.4e-6}, Seconds{0.85e-6}, 0.95}};
  return {{.link_share = 0.8, .most_ll = 87.7e9, .switch_efficiency = 0},
          {Seconds{8.2e-6}, Seconds{1.0e-6}, 0.85}};
}

// The other protocols above LL, and the rest: as Ring's.
constexpr PerProtocol kStartOver{0, 4e-6, 16e-6}, kHopOver{0, 1.1e-6, 2.4e-6};
constexpr double kLl128Share = 0.92;  // tuning.cc: 120 of 128 bytes, and a little
constexpr double kOwnBlock = 0.37, kSwitchShare = 0.87;
constexpr Seconds kSwitchStart{40e-6}, kPeerStart{2e-6}, kPeerBlocks{9e-6};
constexpr Bandwidth kPeerWords{6.5e9};

/// Every GPU writes to all others at once, in words for small pieces and in blocks for large ones.
Seconds all_to_all(const Collective& c, const Ring& ring, Bandwidth rate) {
  const Bytes piece = c.payload / c.ranks;
  const Seconds words = kPeerStart + piece / kPeerWords;
  const Seconds blocks = kPeerBlocks + (sent_per_gpu(c, false) + kOwnBlock * piece) / rate;
  return ring.start + min(words, blocks);
}

}  // namespace

Seconds nccl_time(const Machine& m, const Collective& c, bool added_in_switch) {
  if (trivial(c)) return {};
  const auto [tuning, ring] = library(m);
  const Bandwidth nominal = tuning.link_share * m.nvlink.bandwidth, rate = ring.share * nominal;
  if (c.kind == CollectiveKind::all_to_all) return all_to_all(c, ring, rate);
  if (c.kind == CollectiveKind::send) return ring.start + kPeerStart + c.payload / rate;
  const bool reduces = c.kind == CollectiveKind::all_reduce;
  const double n = c.ranks, steps = (reduces ? 2 : 1) * (n - 1);
  const Bytes sent = sent_per_gpu(c, false), own = reduces ? c.payload / n : c.payload;
  const Bandwidth ll = min(Bandwidth{tuning.most_ll}, 0.5 * nominal);

  Protocol chosen = kLl;
  Seconds least;
  for (const Protocol p : {kLl, kLl128, kSimple}) {
    const Bandwidth of = p == kLl ? ll : p == kLl128 ? kLl128Share * nominal : nominal;
    const Seconds guess = Seconds{tuning.start[p] + steps * tuning.hop[p]} + sent / of;
    if (p == kLl || guess < least) chosen = p, least = guess;
  }
  if (reduces && m.nvlink.in_switch && added_in_switch && n > 2) {
    // Of 16 channels one is spent on the way.
    const Bandwidth of = tuning.switch_efficiency * 15 / 16 * nominal;
    if (Seconds{tuning.switch_start} + c.payload / of < least)
      return kSwitchStart + sent_per_gpu(c, true) / (kSwitchShare * rate);
  }
  const Bandwidth of = chosen == kLl ? ll : chosen == kLl128 ? kLl128Share * rate : rate;
  return ring.start + steps * ring.hop + Seconds{kStartOver[chosen] + steps * kHopOver[chosen]} +
         (sent + kOwnBlock * own) / of;
}

Seconds eager_call() { return kEagerCall; }

Seconds process_group_call() { return kProcessGroupCall; }

}  // namespace kvroof::accuracy
