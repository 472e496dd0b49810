// A step as a timeline.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/text.hpp"
#include "scenarios/cli/figure_data.hpp"

namespace kvroof::cli {
namespace {

using reports::ChromeTrace;
using reports::text;

/// Where compute and link stand; equal unless communication overlaps.
struct Clock {
  Seconds compute, link;
};

void run(ChromeTrace& t, Clock& clock, const Op& op, const OpTime& time, int layer, bool overlap) {
  const bool link = op.op_class == OpClass::collective;
  const Seconds duration = time.expected / op.count;
  const Seconds start = link || !overlap ? max(clock.compute, clock.link) : clock.compute;
  ChromeTrace::Event e{.name = std::string(op.name),
                       .stream = link ? "link" : "compute",
                       .start = start,
                       .duration = duration};
  if (layer > 0) e.args.push_back({"run", fmt::format("{} of {:.0f}", layer, op.count)});
  e.args.push_back({"bound", std::string(name(time.bound))});
  e.args.push_back({"speed of light", text(time.floor / op.count)});
  e.args.push_back({"FLOP", reports::number(op.work.flops.value / giga) + " G"});
  e.args.push_back({"HBM bytes", text(op.work.hbm())});
  t.events.push_back(e);
  (link ? clock.link : clock.compute) = start + duration;
  if (!overlap) clock.compute = clock.link = start + duration;
}

}  // namespace

ChromeTrace trace(const Subject& s, Phase phase) {
  const PhaseResult& p = of(s.prediction, phase);
  const bool overlap = s.setup.policy.overlap_communication;
  ChromeTrace t;
  t.title = headline(s.setup, phase);
  t.gpus = {fmt::format("{} (each of {})", s.setup.machine.id, s.prediction.gpus)};
  Clock clock;
  for (std::size_t i = 0; i < p.ops.size();) {
    std::size_t end = i + 1;  // ops [i, end) make up one layer, run `count` times
    while (end < p.ops.size() && p.ops[end].count == p.ops[i].count) ++end;
    const double runs = p.ops[i].count;
    if (runs == std::floor(runs)) {
      for (int layer = 1; layer <= static_cast<int>(runs); ++layer)
        for (std::size_t k = i; k < end; ++k)
          run(t, clock, p.ops[k], p.times[k], runs > 1 ? layer : 0, overlap);
    } else {  // a fraction of a run (uneven pipeline stages) stands as one slice
      for (std::size_t k = i; k < end; ++k) {
        Op whole = p.ops[k];
        whole.work = whole.count * whole.work, whole.count = 1;
        run(t, clock, whole, p.times[k], 0, overlap);
      }
    }
    i = end;
  }
  return t;
}

}  // namespace kvroof::cli
