// The answer of `kvroof run` in its four formats: terminal table, JSON, CSV, Markdown.
#pragma once
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "model/predict.hpp"

namespace kvroof::reports {

/// What a report says beside the prediction itself.
struct RunReport {
  std::string name;  // of the scenario
  Setup setup;
  Prediction prediction;
  nlohmann::ordered_json* inputs = nullptr;  // resolved inputs, defaults marked; null: left out
  std::vector<std::string> assumed;  // defaults and estimates the answer rests on, one line each
  std::vector<std::string> warnings;
  std::vector<std::string> next;  // commands worth trying
};

/// Layout as in README. Bars need Unicode; without it '#'.
void print_table(std::ostream& out, const RunReport& report, bool unicode);

/// {"schema", "kvroof", "inputs", "results", "warnings"}: SI base units, ordered keys, null for
/// what a job that does not fit has no right to.
nlohmann::ordered_json to_json(const RunReport& report);

/// One header line of JSON paths with the unit as suffix, one row; ops left to JSON.
void print_csv(std::ostream& out, const RunReport& report);

void print_markdown(std::ostream& out, const RunReport& report);

}  // namespace kvroof::reports
