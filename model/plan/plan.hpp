// The cheapest and the smallest way to serve a demand, and why the others lose.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/plan/capacity.hpp"

namespace kvroof::plan {

/// What may be chosen.
struct Choices {
  std::vector<Machine> machines;
  std::vector<int> tensor{1, 2, 4, 8}, pipeline{1};
  std::vector<std::optional<Dtype>> kv{std::nullopt};
  std::vector<int> max_num_seqs;  // empty: the scenario's
  bool expert_parallel = true;    // for networks with experts, beside cutting each expert
  bool disaggregated = true;
  int most_gpus = 8;  // of one engine group
};

/// One way to serve: groups of `both`, or of `prefill` and `decode`.
struct Option {
  Setup setup;                   // of a group; of the decode groups where there are two kinds
  std::optional<Setup> prefill;  // of a prefill group
  double capacity = 0;           // requests per second of a group (of the slower part, if two)
  Capacity own;                  // of the group, or of the decode group
  int groups = 0, prefill_groups = 0;  // that the demand needs, spare ones included
  int gpus = 0;
  double usd_per_hour = 0, usd_per_million_output_tokens = 0, load = 0;
  Tails tails;          // at its load
  std::string refusal;  // why it cannot serve at all; empty: it can
  bool serves() const { return refusal.empty(); }
};
/// "h200-sxm-141gb TP2 fp8 KV", "h100-sxm-80gb TP1 prefill + h200-sxm-141gb TP1 decode".
std::string title(const Option& option);

/// How the answer moves when one assumption does.
struct Sensitivity {
  std::string what;  // "HBM bandwidth -10 %"
  std::string best;  // title of the cheapest option then
  int gpus = 0;      // its GPUs; 0: nothing serves
  double usd_per_hour = 0;
  bool other = false;  // another option than before
};

struct Plan {
  std::vector<Option> options;  // those that serve by price, then the others
  std::optional<std::size_t> cheapest, smallest;
  std::string no_pools;  // why no pair of prefill and decode groups serves; empty: one does
  std::vector<Sensitivity> sensitivity;
};

/// Called now and then, one call at a time: groups evaluated, groups known to need it so far.
using Progress = std::function<void(double done, double known)>;

/// Evaluates every choice on `threads` threads; the result does not depend on their number.
/// Disaggregated: the best of all pairs of prefill and decode groups by price and by GPUs, each
/// checked in one simulation of both pools.
Plan make_plan(const Setup& base, const Goal& demand, const Choices& choices, int threads,
               const Progress& progress = {});

/// Price per hour and groups for a demand once the capacity is known.
void size_option(Option& option, const Goal& demand);

/// What an unreachable objective would need: the best any option does when idle, and the least it
/// could do at the speed of light.
struct Reach {
  double ttft = 0, tpot = 0, ttft_floor = 0, tpot_floor = 0;  // seconds
  std::string ttft_of, tpot_of;                               // titles
};
std::optional<Reach> reach(const Plan& plan);

}  // namespace kvroof::plan
