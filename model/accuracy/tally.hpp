// Errors by group and refusals by reason.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/accuracy/format.hpp"

namespace kvroof::accuracy {

/// A measurement and what became of it.
struct Outcome {
  Measurement row;
  Answer answer;
};

/// Signed relative errors e = predicted/measured − 1, as fractions.
///   mape = mean |e|   median_ape = median |e|   bias = median e   within_20 = share of |e| ≤ 0.2
struct ErrorFigures {
  double mape = 0, median_ape = 0, bias = 0, within_20 = 0;
};
ErrorFigures error_figures(std::vector<double> errors);

/// Rows of one deployment family; `engine` says "disaggregated" where prefill and decode have pools
/// of their own.
struct Group {
  std::string file, hardware, model, engine, metric;
  int rows = 0, answered = 0;
  ErrorFigures errors;  // of the answered rows
};

struct RefusedCount {
  std::string file, reason;
  int count = 0;
};

struct Tally {
  std::vector<Outcome> outcomes;
  std::vector<Group> groups;          // sorted by file, hardware, model, engine, metric
  std::vector<RefusedCount> refused;  // most frequent first
  std::vector<std::string> unread;    // files no format knows, with the reason
};

/// Calls `use` with every table under the paths (a folder: it and its sub-folders, .csv and
/// .csv.gz, in order of path) that some format knows; returns the others, with the reason.
std::vector<std::string> for_each_table(
    const std::vector<std::string>& paths,
    const std::function<void(const Csv&, const FileFormat&)>& use);

/// Reads every .csv and .csv.gz under the paths (a folder: it and its sub-folders) and answers.
Tally assess(const std::vector<std::string>& paths);

/// The grouping alone.
Tally tally(std::vector<Outcome> outcomes, Context& context);

}  // namespace kvroof::accuracy
