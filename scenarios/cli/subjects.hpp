// Several scenarios of one command line: files side by side, --hardware a,b for each of them.
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

#include "scenarios/cli/figure_data.hpp"
#include "scenarios/cli/resolve.hpp"

namespace kvroof::cli {

/// The answer is no: nothing to draw because the job does not fit. Exit code 1.
struct DoesNotFit : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Case {
  Resolved resolved;
  Subject subject;
};

/// Every file with every GPU of a comma-separated --hardware, predicted. UserError for kernel
/// scenarios (no step to draw), and for what run refuses.
std::vector<Case> cases(const Inputs& inputs, const std::vector<std::string>& more_files);
std::vector<Subject> subjects(const std::vector<Case>& cases);

}  // namespace kvroof::cli
