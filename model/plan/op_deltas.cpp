#include "model/plan/op_deltas.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "model/gap_parts.hpp"

namespace kvroof::plan {
namespace {

void add(OpSide& s, const Op& op, const OpTime& t) {
  if (t.floor > s.floor) s.floor_bound = t.floor_bound;
  s.flops += op.count * op.work.flops;
  s.moved += op.count * (op.work.read + op.work.written);
  s.charged += op.count * (op.work.hbm() - min(op.handed_over, op.work.hbm()));
  s.floor += t.floor, s.expected += t.expected, s.gap += t.gap;
}

OpDelta& entry(std::vector<OpDelta>& list, std::string_view name) {
  for (OpDelta& d : list)
    if (d.name == name) return d;
  return list.emplace_back(OpDelta{.name = name});
}

Reasons reasons(const OpSide& a, const OpSide& b) {
  Reasons r;
  r.gap = b.gap;
  r.gap += -1.0 * a.gap;
  const double was = a.floor_bound == Bound::hbm ? a.charged.value : a.flops.value;
  const double is = a.floor_bound == Bound::hbm ? b.charged.value : b.flops.value;
  // An op that is new, gone or moves nothing of its own changes by its work.
  r.work = was > 0 && is > 0 ? (is / was - 1) * a.floor : b.floor - a.floor;
  r.rate = b.floor - a.floor - r.work;
  return r;
}

}  // namespace

std::vector<OpDelta> op_deltas(const PhaseResult& a, const PhaseResult& b) {
  std::vector<OpDelta> list;
  for (std::size_t i = 0; i < a.ops.size(); ++i)
    add(entry(list, a.ops[i].name).a, a.ops[i], a.times[i]);
  for (std::size_t i = 0; i < b.ops.size(); ++i)
    add(entry(list, b.ops[i].name).b, b.ops[i], b.times[i]);
  for (OpDelta& d : list) d.why = reasons(d.a, d.b);
  std::stable_sort(list.begin(), list.end(), [](const OpDelta& x, const OpDelta& y) {
    return std::abs(x.change().value) > std::abs(y.change().value);
  });
  return list;
}

std::string_view main_reason(const Reasons& r) {
  struct Part {
    Seconds change;
    std::string_view words;
  };
  std::vector<Part> parts{{r.work, "work"}, {r.rate, "datasheet rate"}};
  for (const GapPart& p : gap_parts(r.gap)) parts.push_back({p.time, p.words});
  const double sign = r.total() < Seconds{} ? -1 : 1;
  return std::max_element(parts.begin(), parts.end(),
                          [&](const Part& x, const Part& y) {
                            return sign * x.change.value < sign * y.change.value;
                          })
      ->words;
}

}  // namespace kvroof::plan
