#include "model/plan/capacity.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "model/serve.hpp"
#include "model/user_error.hpp"

namespace kvroof::plan {
namespace {

/// step_time and predict speak of what the code cannot be asked; here it is an option that loses.
template <class F>
auto or_refusal(F f) {
  try {
    return f();
  } catch (const std::invalid_argument& e) {
    throw UserError(e.what());
  } catch (const std::domain_error& e) {
    throw UserError(e.what());
  }
}

}  // namespace

Group::Group(Setup given, Role part, const Goal& d) : setup(std::move(given)), role(part) {
  setup.point.prompt = d.prompt, setup.point.output = d.output;
  setup.point.context = 0, setup.point.lock_step = false, setup.point.batch = 1;
  lone_e2e = or_refusal([&] { return predict(setup); }).e2e.value;
  limits = kvroof::limits(setup, d.prompt + d.output);
  limits.watermark = .01;
  limits.prefix_hit_rate = setup.point.prefix_hit;
  limits.prefilled = role == Role::decode;
  const int stages = setup.policy.parallel.pipeline;
  limits.blocks /= stages;
  limits.max_num_seqs = std::max<std::int64_t>(1, limits.max_num_seqs / stages);
  replicas = setup.policy.parallel.data * stages;
  step = or_refusal([&] { return step_time(setup); });
}

Tails tails(const Group& g, const Goal& d, double rate) {
  // Long enough to fill the group several times over, short enough to be asked a dozen times.
  const auto n = static_cast<std::int64_t>(std::clamp(rate * g.lone_e2e * 10, 800., 3000.));
  serving::Trace t = d.traffic(rate, n);
  if (g.role == Role::prefill)
    for (serving::Request& r : t.requests) r.output = 1;
  if (g.role == Role::decode) {
    std::erase_if(t.requests, [](const serving::Request& r) { return r.output < 2; });
    for (serving::Request& r : t.requests) ++r.prompt, --r.output, r.num_hashes = 0;
    if (t.requests.empty()) return {};
  }
  serving::Simulation sim;
  sim.limits = g.limits, sim.replicas = g.replicas;
  const serving::Service s = serving::simulate(sim, t, g.step);
  Tails out{.ttft = s.ttft.p99,
            .tpot = s.tpot.p99,
            .mean_batch = s.mean_batch,
            .steady = s.verdict != serving::Verdict::overloaded};
  if (g.role == Role::decode) {  // waiting for a slot is waiting for the second token
    std::vector<double> each;
    for (const serving::Record& r : s.records) each.push_back((r.finish - r.arrival) / r.output);
    out.tpot = serving::summarise(std::move(each)).p99;
  }
  return out;
}

bool meets(const Tails& t, Role role, const Objectives& slo) {
  return t.steady && (role == Role::decode || t.ttft <= slo.ttft_p99) &&
         (role == Role::prefill || t.tpot <= slo.tpot_p99);
}

Capacity capacity(const Group& g, const Goal& d) {
  const auto ok = [&](double rate) { return meets(tails(g, d, rate), g.role, d.slo); };
  double low = .05 * g.replicas / g.lone_e2e;  // two requests meet once in twenty
  Capacity c{.idle = tails(g, d, low)};
  if (!meets(c.idle, g.role, d.slo)) return c;
  double high = 4 * low;
  for (int i = 0; i < 12 && ok(high); ++i) low = high, high *= 4;
  while (high / low > 1.03) {
    const double middle = std::sqrt(low * high);
    (ok(middle) ? low : high) = middle;
  }
  c.rate = low;
  return c;
}

}  // namespace kvroof::plan
