// A capacity planner's document: the question in words, the answer first, then why.
#pragma once
#include "reports/html.hpp"
#include "scenarios/cli/subjects.hpp"

namespace kvroof::cli {

reports::Report planner_report(const std::vector<Case>& cases);

}  // namespace kvroof::cli
