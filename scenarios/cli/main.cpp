#include <CLI/CLI.hpp>
#include <iostream>

#include "model/user_error.hpp"
#include "scenarios/cli/suggest.hpp"
#include "scenarios/cli/verbs.hpp"

namespace {

constexpr const char* kWelcome =
    R"(kvroof - roofline simulator and performance model for LLM inference

  kvroof run scenarios/llama31-70b-8xh100.yaml       does it fit, how fast, limited by what
  kvroof run --model llama-3.1-8b --hardware h200-sxm-141gb --batch 32 --context 8192
  kvroof explain scenarios/llama31-8b-chat.yaml kv   where a number comes from
  kvroof plot roofline scenarios/llama31-70b-8xh100.yaml --hardware h100-sxm-80gb,h200-sxm-141gb
  kvroof report scenarios/llama31-70b-8xh100.yaml -o report.html
  kvroof plan scenarios/plan-8b-chat.yaml            GPUs for a rate under an objective, and the price
  kvroof sweep scenarios/sweep-70b.yaml              ten million points: the best, Pareto fronts, marginals
  kvroof compare A.yaml B.yaml | RESULT.json         which op, which bytes; prediction against a benchmark
  kvroof claims                                      published claims, recomputed
  kvroof lint measurements.csv                       which rows beat the speed of light
  kvroof profiles | models                           what is bundled, with sources

kvroof --help lists every verb; kvroof VERB --help its options.
)";

}  // namespace

int main(int argc, char** argv) {
  using namespace kvroof;
  CLI::App app{"kvroof: roofline simulator and performance model for LLM inference", "kvroof"};
  app.set_version_flag("--version", KVROOF_VERSION);
  app.require_subcommand(0, 1);
  int exit_code = cli::kOk;
  cli::add_run(app, exit_code);
  cli::add_simulate(app, exit_code);
  cli::add_explain(app, exit_code);
  cli::add_plan(app, exit_code);
  cli::add_sweep(app, exit_code);
  cli::add_merge(app, exit_code);
  cli::add_compare(app, exit_code);
  cli::add_plot(app, exit_code);
  cli::add_report(app, exit_code);
  cli::add_claims(app, exit_code);
  cli::add_accuracy(app, exit_code);
  cli::add_calibrate(app, exit_code);
  cli::add_lint(app, exit_code);
  cli::add_profiles(app, exit_code);
  cli::add_models(app, exit_code);
  cli::add_init(app, exit_code);
  cli::add_schema(app, exit_code);
  cli::add_completion(app, exit_code);
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) std::cout << kWelcome;
    return exit_code;
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForAllHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    std::cerr << "kvroof: " << cli::explain_parse_error(app, e, argc, argv) << '\n';
    return cli::kUsage;
  } catch (const UserError& e) {
    for (const std::string& message : e.messages()) std::cerr << message << '\n';
    if (e.messages().size() > 1) std::cerr << e.messages().size() << " errors\n";
    return cli::kUsage;
  } catch (const std::exception& e) {
    std::cerr << "kvroof: internal error, please report: " << e.what() << '\n';
    return cli::kInternal;
  }
}
