#include "model/collective.hpp"

#include <algorithm>

namespace kvroof {

Bytes sent_per_gpu(const Collective& c, bool in_switch) {
  if (trivial(c)) return {};
  const double n = c.ranks;
  switch (c.kind) {
    case CollectiveKind::all_reduce:
      return (in_switch ? std::min(1 + 1 / n, 2 * (n - 1) / n) : 2 * (n - 1) / n) * c.payload;
    case CollectiveKind::all_gather:
      return (n - 1) * c.payload;
    case CollectiveKind::all_to_all:
      return (n - 1) / n * c.payload;
    case CollectiveKind::send:
      return c.payload;
    case CollectiveKind::none:
      break;
  }
  return {};
}

Work collective_work(const Collective& c) {
  Work w;
  if (trivial(c)) return w;
  w.link_sent = sent_per_gpu(c, false);
  w.read.activations = c.payload;
  w.written.activations = c.payload;
  w.launches = 1;
  return w;
}

Seconds link_floor(const Collective& c, const Link& link) {
  if (trivial(c)) return {};
  return sent_per_gpu(c, link.in_switch) / link.bandwidth;
}

Seconds link_time(const Collective& c, const Link& link) {
  if (trivial(c)) return {};
  const Bandwidth bw = link.efficiency * link.bandwidth;
  const double n = c.ranks;
  if (c.kind == CollectiveKind::send && link.copied > Bandwidth{})
    return link.base + link.latency + c.payload / link.copied;
  if (c.kind != CollectiveKind::all_reduce)
    return link.base + link.latency + sent_per_gpu(c, false) / bw;
  const Seconds one_shot = link.latency + (n - 1) * c.payload / bw;
  const Seconds two_shot = 2 * link.latency + sent_per_gpu(c, false) / bw;
  Seconds best = min(one_shot, two_shot);
  if (link.in_switch) best = min(best, 2 * link.latency + sent_per_gpu(c, true) / bw);
  return link.base + best;
}

}  // namespace kvroof
