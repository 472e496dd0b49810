// kvroof calibrate: the constants of each engine from published measurements, cross-validated.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "model/accuracy/cross_validate.hpp"
#include "model/user_error.hpp"
#include "scenarios/cli/output.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using namespace accuracy;
using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> paths;
  std::string format = "table", folder, date;
  bool cross_validate = false;
  std::uint64_t seed = 1;
  FitOptions fit;
};

struct Split {
  std::string name;
  std::vector<Held> held;
};

bool dense(const Sample& s) { return !s.sparse; }

std::vector<Held> only(const std::vector<Held>& held, bool want_dense) {
  std::vector<Held> out;
  std::copy_if(held.begin(), held.end(), std::back_inserter(out),
               [&](const Held& h) { return dense(*h.sample) == want_dense; });
  return out;
}

std::string line_of(const std::string& what, const std::vector<Held>& held) {
  const ErrorFigures f = figures(held);
  return fmt::format("  {:<48} {:>5} {:>7.1f} % {:>7.1f} % {:>7.1f} % {:>6.0f} %\n", what,
                     held.size(), 100 * f.mape, 100 * f.median_ape, 100 * f.bias,
                     100 * f.within_20);
}

void print(const Fits& fits, const std::vector<Split>& splits) {
  std::cout << fmt::format("{:<28}{:<11}", "factor (standard error)", "of");
  for (const auto& [name, f] : fits) std::cout << fmt::format("{:>15}", name);
  std::cout << '\n';
  const auto constants = engine_constants();
  for (std::size_t i = 0; i < constants.size(); ++i) {
    std::cout << fmt::format("{:<28}{:<11}", constants[i].name, constants[i].of);
    for (const auto& [name, f] : fits)
      std::cout << fmt::format("{:>15}", fmt::format("{:.2f} ({:.0f} %)", std::exp(f.log_factor[i]),
                                                     100 * f.standard_error[i]));
    std::cout << '\n';
  }
  for (const Split& s : splits) {
    std::cout << fmt::format("\n{:<50} {:>5} {:>9} {:>9} {:>9} {:>8}\n", s.name, "rows", "MAPE",
                             "median", "bias", "in 20 %");
    for (const bool d : {true, false})
      if (const auto part = only(s.held, d); !part.empty())
        std::cout << line_of(d ? "dense" : "experts or latent attention", part);
    std::map<std::string, std::vector<Held>> groups;
    for (const Held& h : s.held) groups[h.sample->group()].push_back(h);
    for (const auto& [name, held] : groups) std::cout << line_of("  " + name, held);
  }
}

Json to_json(const Fits& fits, const std::vector<Split>& splits) {
  Json engines = Json::array(), validation = Json::array();
  for (const auto& [name, f] : fits) {
    Json constants = Json::object();
    for (std::size_t i = 0; i < kNumEngineConstants; ++i)
      constants[std::string(engine_constants()[i].name)] = {
          {"factor", std::exp(f.log_factor[i])}, {"standard_error", f.standard_error[i]}};
    engines.push_back({{"engine", name},
                       {"rows", f.rows},
                       {"residual", f.residual},
                       {"constants", constants},
                       {"covariance", f.covariance}});
  }
  for (const Split& s : splits)
    for (const bool d : {true, false})
      if (const auto part = only(s.held, d); !part.empty()) {
        const ErrorFigures e = figures(part);
        validation.push_back({{"split", s.name},
                              {"rows_of", d ? "dense" : "moe_or_mla"},
                              {"rows", part.size()},
                              {"mape", e.mape},
                              {"median_ape", e.median_ape},
                              {"bias", e.bias},
                              {"within_20", e.within_20}});
      }
  return {{"schema", "kvroof/result/v1"},
          {"kvroof", KVROOF_VERSION},
          {"results", {{"engines", engines}, {"validation", validation}}},
          {"warnings", Json::array()}};
}

void write(const std::string& folder, const Fits& fits) {
  std::filesystem::create_directories(folder);
  for (const auto& [name, f] : fits) {
    Output(folder + "/" + name + ".yaml").stream() << print_engine_fit(f);
    Output covariance(folder + "/" + name + ".covariance.csv");
    std::string head = "constant";
    for (const EngineConstant& c : engine_constants()) head += "," + std::string(c.name);
    covariance.stream() << head << '\n';
    for (std::size_t i = 0; i < f.covariance.size(); ++i) {
      covariance.stream() << engine_constants()[i].name;
      for (double v : f.covariance[i]) covariance.stream() << fmt::format(",{:.4g}", v);
      covariance.stream() << '\n';
    }
  }
}

}  // namespace

void add_calibrate(CLI::App& app, int& exit_code) {
  auto o = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("calibrate", "constants of each engine from published measurements");
  verb->add_option("paths", o->paths, "files or folders; rows with TPOT of closed loops are used")
      ->required();
  verb->add_flag("--cross-validate", o->cross_validate,
                 "errors on held-out halves, groups, GPUs and engines");
  verb->add_option("--seed", o->seed, "of the random halves (1)");
  verb->add_option("--write", o->folder, "folder for NAME.yaml and NAME.covariance.csv");
  verb->add_option("--date", o->date, "date to write as provenance");
  verb->add_option("--prior", o->fit.prior, "standard deviation of a shared log factor (0.35)")
      ->check(CLI::Range(0.01, 5.0));
  verb->add_option("--deviation", o->fit.deviation, "of an engine from the shared one (0.1)")
      ->check(CLI::Range(0.001, 5.0));
  verb->add_option("--format", o->format, "table | json")->check(CLI::IsMember({"table", "json"}));
  verb->callback([o, &exit_code] {
    Context context(false);
    const std::vector<Measurement> rows = closed_loop_tpot(o->paths);
    const std::vector<Sample> all = samples(context, rows);
    if (all.empty()) throw UserError("expected rows with TPOT of a closed loop, found none");
    std::vector<const Sample*> used;
    for (const Sample& s : all) used.push_back(&s);
    Fits fits = fit(used, o->fit);
    std::vector<Split> splits{{"in sample", evaluate(fits, used)}};
    if (o->cross_validate) {
      // Held-out fits begin where the full one ended: the same optimum, found in fewer steps.
      const Fits full = fits;
      o->fit.start = &full;
      splits.push_back({"random halves of configurations", random_halves(used, o->fit, o->seed)});
      splits.push_back(
          {"GPU x engine x network left out", leave_out(used, o->fit, LeaveOut::group)});
      splits.push_back({"GPU left out", leave_out(used, o->fit, LeaveOut::hardware)});
      splits.push_back({"engine left out", leave_out(used, o->fit, LeaveOut::engine)});
      splits.push_back({"network left out", leave_out(used, o->fit, LeaveOut::model)});
    }
    std::string files;
    for (const std::string& p : o->paths)
      files += (files.empty() ? "" : ", ") + std::filesystem::path(p).filename().string();
    for (auto& [name, f] : fits)
      f.source = fmt::format("kvroof calibrate on {}: TPOT of {} rows of closed loops{}", files,
                             f.rows, o->date.empty() ? "" : ", " + o->date);
    if (!o->folder.empty()) write(o->folder, fits);
    if (o->format == "json") std::cout << to_json(fits, splits).dump(2) << '\n';
    else print(fits, splits);
    exit_code = kOk;
  });
}

}  // namespace kvroof::cli
