#include "model/plan/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>

#include "model/llm_counts.hpp"
#include "model/shard.hpp"
#include "model/user_error.hpp"

namespace kvroof::plan {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

std::string name_of(const Setup& s) {
  const Parallelism& p = s.policy.parallel;
  std::string t = fmt::format("{} TP{}", s.machine.id, p.tensor);
  if (p.pipeline > 1) t += fmt::format(" PP{}", p.pipeline);
  if (p.data > 1) t += fmt::format(" DP{}", p.data);
  if (p.expert) t += fmt::format(" EP{}", expert_ranks(p));
  if (s.policy.kv) t += fmt::format(", {} KV", info(*s.policy.kv).name);
  if (s.policy.max_num_seqs != 256) t += fmt::format(", {} slots", s.policy.max_num_seqs);
  return t;
}

/// Every way to form an engine group.
std::vector<Setup> groups_of(const Setup& base, const Choices& c) {
  std::vector<Setup> out;
  const bool experts = c.expert_parallel && has_experts(base.llm);
  std::vector<int> slots = c.max_num_seqs;
  if (slots.empty()) slots.push_back(base.policy.max_num_seqs);
  for (const Machine& m : c.machines)
    for (const int tensor : c.tensor)
      for (const int pipeline : c.pipeline)
        for (const auto& kv : c.kv)
          for (const int most : slots) {
            Setup s = base;
            s.machine = m;
            s.policy.parallel = {.tensor = tensor, .pipeline = pipeline};
            if (kv) s.policy.kv = kv;
            s.policy.max_num_seqs = most;
            if (tensor * pipeline > c.most_gpus) continue;
            out.push_back(s);
            if (!experts || pipeline > 1) continue;
            // Experts spread over the group: whole, each attending with all ranks or alone.
            for (int data = 1; tensor * data <= c.most_gpus; data *= 2)
              if (tensor * data > 1) {
                s.policy.parallel.data = data, s.policy.parallel.expert = true;
                out.push_back(s);
              }
          }
  return out;
}

/// The threads of one plan, and how far they are.
struct Workers {
  int threads;
  const Progress& progress;
  double done = 0, known = 0;
  std::mutex one_at_a_time = {};

  /// f(i) for all i below n.
  template <class F>
  void for_all(std::size_t n, F f) {
    known += static_cast<double>(n);
    std::atomic<std::size_t> next{0};
    std::vector<std::jthread> pool;
    for (int t = 0; t < std::max(1, threads); ++t)
      pool.emplace_back([&] {
        for (std::size_t i; (i = next++) < n;) {
          f(i);
          const std::lock_guard lock(one_at_a_time);
          ++done;
          if (progress) progress(done, known);
        }
      });
  }
};

std::string ms(double s) { return fmt::format("{:.3g} ms", s / milli); }

/// Which constraint an idle group misses, and by how much.
std::string missed(const Tails& t, Role role, const Objectives& slo) {
  if (role != Role::decode && t.ttft > slo.ttft_p99)
    return fmt::format("TTFT p99 is {} on idle GPUs, {:.2g}x the limit", ms(t.ttft),
                       t.ttft / slo.ttft_p99);
  if (role != Role::prefill && t.tpot > slo.tpot_p99)
    return fmt::format("TPOT p99 is {} on idle GPUs, {:.2g}x the limit", ms(t.tpot),
                       t.tpot / slo.tpot_p99);
  return "its queue grows at any load";
}

struct Part {
  Setup setup;
  Capacity capacity;
  std::string refusal;
};

Part evaluate(const Setup& setup, Role role, const Goal& d) {
  Part p{.setup = setup};
  try {
    const Group g(setup, role, d);
    p.capacity = capacity(g, d);
    if (p.capacity.rate <= 0) p.refusal = missed(p.capacity.idle, role, d.slo);
  } catch (const UserError& e) {
    p.refusal = e.what();
  }
  return p;
}

int groups_for(double rate, double each, const Goal& d) {
  return std::max(1, static_cast<int>(std::ceil(rate / (d.max_load * each) - 1e-9))) + d.spare;
}

bool cheaper(const Option& a, const Option& b) {
  if (a.serves() != b.serves()) return a.serves();
  if (a.usd_per_hour != b.usd_per_hour) return a.usd_per_hour < b.usd_per_hour;
  return a.gpus != b.gpus ? a.gpus < b.gpus : a.load < b.load;
}

/// Both pools in one simulation at the whole rate; groups are added while a tail misses, twice at
/// most, for the pools were sized apart.
void check_pools(Option& o, const Goal& d) {
  const Group prefill(*o.prefill, Role::prefill, d), decode(o.setup, Role::decode, d);
  const Bandwidth link =
      min(prefill.setup.machine.nic.bandwidth, decode.setup.machine.nic.bandwidth);
  if (link <= Bandwidth{}) {
    o.refusal = "no figure is known for its network card";
    return;
  }
  const double lanes =
      std::min(prefill.setup.policy.parallel.tensor, decode.setup.policy.parallel.tensor);
  const MemoryFit fit = memory_fit(prefill.setup.llm, prefill.setup.policy, prefill.setup.engine,
                                   prefill.setup.machine, {});
  const serving::Trace t = d.traffic(d.rate, 3000);
  for (int attempt = 0;; ++attempt) {
    serving::Simulation sim;
    sim.limits = decode.limits, sim.limits.prefilled = false;
    sim.replicas = decode.replicas * o.groups;
    sim.prefill.replicas = prefill.replicas * o.prefill_groups;
    sim.prefill.limits = prefill.limits, sim.prefill.step = prefill.step;
    sim.prefill.transfer_per_token = Tokens{1} * fit.kv_per_token / (lanes * link);
    sim.prefill.transfer_state = fit.state_per_request / (lanes * link);
    sim.prefill.n_layers = prefill.setup.llm.n_layers();
    const serving::Service s = serving::simulate(sim, t, decode.step);
    o.tails = {s.ttft.p99, s.tpot.p99, s.mean_batch, s.verdict != serving::Verdict::overloaded};
    if (meets(o.tails, Role::both, d.slo)) return;
    if (attempt == 2) break;
    ++(o.tails.ttft > d.slo.ttft_p99 ? o.prefill_groups : o.groups);
    size_option(o, d);
  }
  o.refusal = fmt::format("with transfers and both pools together TTFT p99 is {}, TPOT p99 {}",
                          ms(o.tails.ttft), ms(o.tails.tpot));
}

std::vector<Option> pools(const std::vector<Part>& prefill, const std::vector<Part>& decode,
                          const Goal& d) {
  std::vector<Option> all;
  for (const Part& p : prefill)
    for (const Part& q : decode) {
      if (!p.refusal.empty() || !q.refusal.empty()) continue;
      if (p.setup.policy.kv != q.setup.policy.kv) continue;  // the cache travels as it is
      Option o{.setup = q.setup, .prefill = p.setup, .own = q.capacity};
      o.prefill_groups = groups_for(d.rate, p.capacity.rate, d);
      o.groups = groups_for(d.rate, q.capacity.rate, d);
      o.capacity = std::min(p.capacity.rate * o.prefill_groups, q.capacity.rate * o.groups);
      size_option(o, d);
      all.push_back(std::move(o));
    }
  if (all.empty()) return {};
  // The cheapest pair, the one with fewest GPUs, and the cheapest of one kind of GPU.
  const auto smaller = [](const Option& a, const Option& b) {
    return a.gpus != b.gpus ? a.gpus < b.gpus : cheaper(a, b);
  };
  std::vector<Option> best{*std::min_element(all.begin(), all.end(), cheaper)};
  const auto note = [&](const Option& o) {
    if (std::none_of(best.begin(), best.end(),
                     [&](const Option& b) { return title(b) == title(o); }))
      best.push_back(o);
  };
  note(*std::min_element(all.begin(), all.end(), smaller));
  std::erase_if(all, [](const Option& o) { return o.setup.machine.id != o.prefill->machine.id; });
  if (!all.empty()) note(*std::min_element(all.begin(), all.end(), cheaper));
  return best;
}

/// What keeps the best of the groups from its part; empty when one of them serves.
std::string best_refusal(const std::vector<Part>& parts, Role role) {
  const Part* best = nullptr;
  for (const Part& p : parts) {
    if (p.refusal.empty()) return {};
    const auto tail = [&](const Part& x) {
      const Tails& t = x.capacity.idle;
      const double v = role == Role::prefill ? t.ttft : t.tpot;
      return v > 0 ? v : kNever;  // those that do not fit never ran
    };
    if (!best || tail(p) < tail(*best)) best = &p;
  }
  return best ? name_of(best->setup) + ": " + best->refusal : "there is no group to choose from";
}

void settle(Plan& p) {
  std::stable_sort(p.options.begin(), p.options.end(), cheaper);
  p.cheapest.reset(), p.smallest.reset();
  for (std::size_t i = 0; i < p.options.size(); ++i) {
    const Option& o = p.options[i];
    if (!o.serves()) continue;
    if (!p.cheapest) p.cheapest = i;
    if (!p.smallest || o.gpus < p.options[*p.smallest].gpus) p.smallest = i;
  }
}

/// All options over these groups, sorted.
Plan solve(const std::vector<Setup>& setups, const Goal& d, bool disaggregated, Workers& workers) {
  const std::size_t n = setups.size();
  std::vector<Part> both(n), prefill(disaggregated ? n : 0), decode(prefill.size());
  workers.for_all(n + 2 * prefill.size(), [&](std::size_t i) {
    if (i < n) both[i] = evaluate(setups[i], Role::both, d);
    else if (i < 2 * n) prefill[i - n] = evaluate(setups[i - n], Role::prefill, d);
    else decode[i - 2 * n] = evaluate(setups[i - 2 * n], Role::decode, d);
  });
  Plan plan;
  for (const Part& p : both) {
    Option o{
        .setup = p.setup, .capacity = p.capacity.rate, .own = p.capacity, .refusal = p.refusal};
    if (o.serves()) o.groups = groups_for(d.rate, o.capacity, d), size_option(o, d);
    plan.options.push_back(std::move(o));
  }
  if (disaggregated) {
    const std::string p = best_refusal(prefill, Role::prefill);
    const std::string q = best_refusal(decode, Role::decode);
    if (!p.empty()) plan.no_pools = "no group prefills in time; the best is " + p;
    else if (!q.empty()) plan.no_pools = "no group decodes in time; the best is " + q;
  }
  std::vector<Option> pairs = pools(prefill, decode, d);
  workers.for_all(pairs.size(), [&](std::size_t i) { check_pools(pairs[i], d); });
  plan.options.insert(plan.options.end(), pairs.begin(), pairs.end());
  settle(plan);
  return plan;
}

/// Groups of the leading options: what a small change can bring to the top.
std::vector<Setup> leading(const Plan& p) {
  std::vector<Setup> out;
  const auto note = [&](const Setup& s) {
    if (std::none_of(out.begin(), out.end(),
                     [&](const Setup& o) { return name_of(o) == name_of(s); }))
      out.push_back(s);
  };
  for (const Option& o : p.options) {
    if (!o.serves() || out.size() >= 6) break;
    note(o.setup);
    if (o.prefill) note(*o.prefill);
  }
  return out;
}

std::vector<Sensitivity> sensitivities(const Plan& p, const Goal& d, bool disaggregated,
                                       Workers& workers) {
  const Option& best = p.options[*p.cheapest];
  struct Case {
    std::string what;
    std::function<void(Machine&, double)> change;
    bool objective = false;
  };
  const auto price = [](const std::string& id) {
    return [id](Machine& m, double k) {
      if (m.id == id) m.gpu_hour_usd *= k;
    };
  };
  std::vector<Case> cases = {
      {"HBM bandwidth", [](Machine& m, double k) { m.hbm.peak *= k, m.hbm.achieved *= k; }},
      {"tensor FLOP/s",
       [](Machine& m, double k) {
         for (auto& roof : m.tensor) roof.peak *= k, roof.achieved *= k;
       }},
      {"the limits", [](Machine&, double) {}, true},
      {"price of " + best.setup.machine.id, price(best.setup.machine.id)}};
  if (best.prefill && best.prefill->machine.id != best.setup.machine.id)
    cases.push_back({"price of " + best.prefill->machine.id, price(best.prefill->machine.id)});
  const std::vector<Setup> base = leading(p);
  std::vector<Sensitivity> out(2 * cases.size());
  workers.for_all(out.size(), [&](std::size_t i) {
    const Case& c = cases[i / 2];
    const double k = i % 2 ? 1.1 : .9;
    Goal demand = d;
    if (c.objective) demand.slo.ttft_p99 *= k, demand.slo.tpot_p99 *= k;
    std::vector<Setup> setups = base;
    for (Setup& s : setups) c.change(s.machine, k);
    const Progress silent;
    Workers alone{.threads = 1, .progress = silent};
    const Plan again = solve(setups, demand, disaggregated, alone);
    out[i].what = fmt::format("{} {}10 %", c.what, i % 2 ? '+' : '-');
    if (!again.cheapest) return;
    const Option& then = again.options[*again.cheapest];
    out[i].best = title(then), out[i].gpus = then.gpus, out[i].usd_per_hour = then.usd_per_hour;
    out[i].other = out[i].best != title(best);
  });
  return out;
}

}  // namespace

std::string title(const Option& o) {
  return o.prefill ? name_of(*o.prefill) + " prefill + " + name_of(o.setup) + " decode"
                   : name_of(o.setup);
}

void size_option(Option& o, const Goal& d) {
  const int each = o.setup.policy.parallel.gpus();
  o.gpus = o.groups * each;
  o.usd_per_hour = o.gpus * o.setup.machine.gpu_hour_usd;
  if (o.prefill) {
    const int gpus = o.prefill_groups * o.prefill->policy.parallel.gpus();
    o.gpus += gpus, o.usd_per_hour += gpus * o.prefill->machine.gpu_hour_usd;
    o.load = d.rate / o.capacity;
  } else {
    o.load = d.rate / (o.groups * o.capacity);
  }
  o.usd_per_million_output_tokens = o.usd_per_hour / 3600 / (d.rate * d.output) * mega;
}

Plan make_plan(const Setup& base, const Goal& d, const Choices& c, int threads,
               const Progress& progress) {
  Workers workers{.threads = threads, .progress = progress};
  Plan plan = solve(groups_of(base, c), d, c.disaggregated, workers);
  // Tails at the load each will have, of those that will be read.
  const std::size_t shown = std::min<std::size_t>(plan.options.size(), 12);
  workers.for_all(shown, [&](std::size_t i) {
    Option& o = plan.options[i];
    if (o.serves() && !o.prefill)
      o.tails = tails(Group(o.setup, Role::both, d), d, d.rate / o.groups);
  });
  if (plan.cheapest) plan.sensitivity = sensitivities(plan, d, c.disaggregated, workers);
  return plan;
}

std::optional<Reach> reach(const Plan& plan) {
  std::optional<Reach> r;
  for (const Option& o : plan.options) {
    if (o.prefill || o.own.idle.ttft <= 0) continue;
    if (!r) r = Reach{.ttft = 1e300, .tpot = 1e300, .ttft_floor = 1e300, .tpot_floor = 1e300};
    if (o.own.idle.ttft < r->ttft) r->ttft = o.own.idle.ttft, r->ttft_of = title(o);
    if (o.own.idle.tpot < r->tpot) r->tpot = o.own.idle.tpot, r->tpot_of = title(o);
    const Prediction p = predict(o.setup);
    r->ttft_floor = std::min(r->ttft_floor, p.ttft_step.floor.value);
    r->tpot_floor = std::min(r->tpot_floor, p.decode.step.floor.value);
  }
  return r;
}

}  // namespace kvroof::plan
