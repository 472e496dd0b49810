// The answer of kvroof plan: a table with the reasons why the others lose, CSV, JSON.
#pragma once
#include <cstddef>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>

#include "model/plan/plan.hpp"
#include "scenarios/cli/resolve.hpp"

namespace kvroof::cli {

/// What was asked: the scenario, the demand and what may be chosen.
struct PlanProblem {
  Resolved resolved;
  plan::Goal demand;
  plan::Choices choices;
};

/// The first `rows` options and always the cheapest and the smallest; where nothing serves, the
/// nearest that can be had and what would have to change.
void print_plan(std::ostream& out, const PlanProblem& asked, const plan::Plan& plan,
                std::size_t rows);
/// Every option.
void print_plan_csv(std::ostream& out, const plan::Plan& plan);
nlohmann::ordered_json plan_json(const PlanProblem& asked, const plan::Plan& plan);

}  // namespace kvroof::cli
