// The verbs of kvroof, one file each. add_<verb> declares options and examples; the callback it
// sets runs the verb and stores the exit code.
#pragma once
#include <CLI/App.hpp>

namespace kvroof::cli {

/// 0 fine · 1 the answer is no · 2 bad usage or input · 70 internal error ·
/// 77 nothing to measure with
enum ExitCode { kOk = 0, kNo = 1, kUsage = 2, kInternal = 70, kSkipped = 77 };

void add_run(CLI::App& app, int& exit_code);
void add_explain(CLI::App& app, int& exit_code);
void add_profiles(CLI::App& app, int& exit_code);
void add_models(CLI::App& app, int& exit_code);
void add_init(CLI::App& app, int& exit_code);
void add_schema(CLI::App& app, int& exit_code);
void add_simulate(CLI::App& app, int& exit_code);
void add_sweep(CLI::App& app, int& exit_code);
void add_compare(CLI::App& app, int& exit_code);
void add_plan(CLI::App& app, int& exit_code);
void add_merge(CLI::App& app, int& exit_code);
void add_claims(CLI::App& app, int& exit_code);
void add_accuracy(CLI::App& app, int& exit_code);
void add_calibrate(CLI::App& app, int& exit_code);
void add_lint(CLI::App& app, int& exit_code);
void add_plot(CLI::App& app, int& exit_code);
void add_report(CLI::App& app, int& exit_code);
void add_completion(CLI::App& app, int& exit_code);

}  // namespace kvroof::cli
