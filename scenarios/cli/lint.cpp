// kvroof lint: which rows of a measurement file beat the speed of light or are malformed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "model/lint.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> files;
  LintOptions lint;
  std::string format = "table";
  std::size_t show = 20;
};

Json to_json(const std::string& file, const LintReport& r) {
  Json findings = Json::array();
  for (const Finding& f : r.findings)
    findings.push_back({{"line", f.line},
                        {"kind", f.malformed ? "malformed" : "impossible"},
                        {"ratio", f.ratio},
                        {"what", f.what}});
  Json unchecked = Json::object();
  for (const auto& [reason, rows] : r.unchecked) unchecked[reason] = rows;
  return {{"file", file},         {"kind", r.kind},         {"rows", r.rows},
          {"checked", r.checked}, {"unchecked", unchecked}, {"findings", findings}};
}

void print(const std::string& file, const LintReport& r, std::size_t show) {
  const auto impossible = std::count_if(r.findings.begin(), r.findings.end(),
                                        [](const Finding& f) { return !f.malformed; });
  const auto malformed = static_cast<std::ptrdiff_t>(r.findings.size()) - impossible;
  std::cout << fmt::format("{}: {} ({} rows): {} checked, {} impossible, {} malformed\n", file,
                           r.kind, r.rows, r.checked, impossible, malformed);
  for (std::size_t i = 0; i < std::min(show, r.findings.size()); ++i)
    std::cout << fmt::format("  {}:{}: {}\n", file, r.findings[i].line, r.findings[i].what);
  if (r.findings.size() > show)
    std::cout << fmt::format("  … and {} more (--show {})\n", r.findings.size() - show,
                             r.findings.size());
  for (const auto& [reason, rows] : r.unchecked)
    std::cout << fmt::format("  not checked: {} rows, {}\n", rows, reason);
}

}  // namespace

void add_lint(CLI::App& app, int& exit_code) {
  auto o = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("lint", "which rows of a measurement file are physically impossible");
  verb->add_option("files", o->files, "CSV files, .gz too")->required();
  verb->add_option("--hardware", o->lint.hardware,
                   "profile id, where the file does not name its GPU");
  verb->add_option("--tolerance", o->lint.tolerance, "share a row may be under its floor (0.01)")
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--show", o->show, "findings printed per file (20)");
  verb->add_option("--format", o->format, "table | json")->check(CLI::IsMember({"table", "json"}));
  verb->callback([o, &exit_code] {
    Json files = Json::array();
    for (const std::string& file : o->files) {
      const LintReport r = lint(read_csv(file), o->lint);
      if (!r.findings.empty()) exit_code = kNo;
      if (o->format == "json") files.push_back(to_json(file, r));
      else print(file, r, o->show);
    }
    if (o->format == "json")
      std::cout << Json{{"schema", "kvroof/result/v1"},
                        {"inputs", {{"files", o->files}, {"tolerance", o->lint.tolerance}}},
                        {"results", {{"files", files}}},
                        {"warnings", Json::array()}}
                       .dump(2)
                << '\n';
  });
}

}  // namespace kvroof::cli
