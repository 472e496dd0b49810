// kvroof accuracy: published measurements against predictions, by group; refused rows by reason.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "model/accuracy/tally.hpp"
#include "scenarios/cli/output.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;
using accuracy::Group;
using accuracy::Tally;

struct Options {
  std::vector<std::string> paths;
  std::string format = "table", file, report, rows;
  std::size_t worst = 0;
};

std::string percent(double fraction) { return fmt::format("{:.1f} %", 100 * fraction); }

Json to_json(const Tally& t, const Options& o) {
  Json groups = Json::array(), refused = Json::array();
  for (const Group& g : t.groups) {
    const bool any = g.answered > 0;
    const auto figure = [&](double v) { return any ? Json(v) : Json(nullptr); };
    groups.push_back({{"file", g.file},
                      {"hardware", g.hardware},
                      {"model", g.model},
                      {"engine", g.engine},
                      {"metric", g.metric},
                      {"rows", g.rows},
                      {"answered", g.answered},
                      {"mape", figure(g.errors.mape)},
                      {"median_ape", figure(g.errors.median_ape)},
                      {"bias", figure(g.errors.bias)},
                      {"within_20", figure(g.errors.within_20)}});
  }
  for (const auto& r : t.refused)
    refused.push_back({{"reason", r.reason}, {"count", r.count}, {"file", r.file}});
  Json warnings = Json::array();
  for (const std::string& file : t.unread) warnings.push_back("not read: " + file);
  return {{"schema", "kvroof/result/v1"},
          {"kvroof", KVROOF_VERSION},
          {"inputs", {{"paths", o.paths}}},
          {"results", {{"groups", groups}, {"refused", refused}}},
          {"warnings", warnings}};
}

/// Totals by file and metric first, then every group, then what was refused.
std::string to_markdown(const Tally& t) {
  std::ostringstream out;
  out << "# Accuracy on published measurements\n\n"
         "Written by `kvroof accuracy DIR --report`. Errors are predicted/measured − 1; bias is "
         "the "
         "median signed error. Every row of\na file is counted: answered, or refused with its "
         "reason.\n\n## By file\n\n| file | metric | rows | answered | MAPE | median | bias | "
         "within "
         "20 % |\n|---|---|--:|--:|--:|--:|--:|--:|\n";
  std::map<std::pair<std::string, std::string>, std::pair<int, std::vector<double>>> files;
  for (const accuracy::Outcome& x : t.outcomes) {
    auto& f = files[{x.row.file, x.row.metric}];
    ++f.first;
    if (const auto* v = std::get_if<double>(&x.answer)) f.second.push_back(*v / x.row.value - 1);
  }
  const auto figures = [](const accuracy::ErrorFigures& e, bool any) {
    return any ? fmt::format("{} | {} | {} | {}", percent(e.mape), percent(e.median_ape),
                             percent(e.bias), percent(e.within_20))
               : std::string("– | – | – | –");
  };
  for (const auto& [key, f] : files)
    out << fmt::format("| {} | {} | {} | {} | {} |\n", key.first, key.second, f.first,
                       f.second.size(),
                       figures(accuracy::error_figures(f.second), !f.second.empty()));
  out << "\n## By group\n\nGroups of at least 20 rows; kernels and smaller groups: --format "
         "csv.\n\n| file | hardware | model | engine | metric | rows | answered | MAPE | "
         "median | bias | within 20 % |\n|---|---|---|---|---|--:|--:|--:|--:|--:|--:|\n";
  for (const Group& g : t.groups)
    if (g.rows >= 20 && g.metric != "latency")
      out << fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", g.file, g.hardware, g.model,
                         g.engine, g.metric, g.rows, g.answered, figures(g.errors, g.answered > 0));
  out << "\n## Refused\n\n| rows | file | reason |\n|--:|---|---|\n";
  for (const auto& r : t.refused)
    out << fmt::format("| {} | {} | {} |\n", r.count, r.file, r.reason);
  if (!t.unread.empty()) {
    out << "\n## Files not read\n\n";
    for (const std::string& file : t.unread) out << "- " << file << '\n';
  }
  return out.str();
}

std::string to_csv(const Tally& t) {
  std::string out =
      "file,hardware,model,engine,metric,rows,answered,mape,median_ape,bias,within_20\n";
  for (const Group& g : t.groups)
    out += fmt::format("{},{},\"{}\",{},{},{},{},{:.6g},{:.6g},{:.6g},{:.6g}\n", g.file, g.hardware,
                       g.model, g.engine, g.metric, g.rows, g.answered, g.errors.mape,
                       g.errors.median_ape, g.errors.bias, g.errors.within_20);
  return out;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

/// Every row: what was measured, what predicted, or why not.
std::string rows_csv(const Tally& t) {
  std::string out =
      "file,line,hardware,engine,version,model,mode,metric,isl,osl,concurrency,gpus,measured,"
      "predicted,error,refused\n";
  for (const accuracy::Outcome& o : t.outcomes) {
    const accuracy::Measurement& m = o.row;
    out +=
        fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{:.6g},", quoted(m.file), m.line,
                    quoted(m.hardware), quoted(m.engine), quoted(m.engine_version), quoted(m.llm),
                    name(m.mode), m.metric, m.isl, m.osl, m.concurrency, m.num_gpus, m.value);
    if (const auto* v = std::get_if<double>(&o.answer))
      out += fmt::format("{:.6g},{:.4f},\n", *v, *v / m.value - 1);
    else out += ",," + quoted(std::get<std::string>(o.answer)) + "\n";
  }
  return out;
}

std::string to_table(const Tally& t, std::size_t worst) {
  std::string out = fmt::format(
      "{:<34} {:<18} {:<18} {:<8} {:<14} {:>5} {:>8} {:>8} {:>8} {:>8} {:>7}\n", "file", "hardware",
      "model", "engine", "metric", "rows", "answered", "MAPE", "median", "bias", "in 20 %");
  for (const Group& g : t.groups) {
    out += fmt::format("{:<34.34} {:<18.18} {:<18.18} {:<8.8} {:<14.14} {:>5} {:>8} ", g.file,
                       g.hardware, g.model, g.engine, g.metric, g.rows, g.answered);
    out += g.answered ? fmt::format("{:>8} {:>8} {:>8} {:>7}\n", percent(g.errors.mape),
                                    percent(g.errors.median_ape), percent(g.errors.bias),
                                    fmt::format("{:.0f} %", 100 * g.errors.within_20))
                      : std::string("       –        –        –       –\n");
  }
  int answered = 0, refused = 0;
  for (const Group& g : t.groups) answered += g.answered, refused += g.rows - g.answered;
  out += fmt::format("\n{} rows answered, {} refused\n", answered, refused);
  for (const auto& r : t.refused) out += fmt::format("{:>6}  {}: {}\n", r.count, r.file, r.reason);
  for (const std::string& file : t.unread) out += "not read: " + file + '\n';
  if (worst > 0) {
    std::vector<std::pair<double, const accuracy::Outcome*>> rows;
    for (const accuracy::Outcome& o : t.outcomes)
      if (const auto* v = std::get_if<double>(&o.answer))
        rows.emplace_back(std::abs(std::log(*v / o.row.value)), &o);
    std::sort(rows.begin(), rows.end(),
              [](const auto& a, const auto& b) { return a.first > b.first; });
    out += "\nworst rows: predicted, measured\n";
    for (std::size_t i = 0; i < std::min(worst, rows.size()); ++i) {
      const accuracy::Measurement& m = rows[i].second->row;
      out += fmt::format("  {}:{}  {} {:.4g}, {:.4g}  {}\n", m.file, m.line, m.metric,
                         std::get<double>(rows[i].second->answer), m.value, m.configuration);
    }
  }
  return out;
}

}  // namespace

void add_accuracy(CLI::App& app, int& exit_code) {
  auto o = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("accuracy", "predictions against published measurements, by group");
  verb->add_option("paths", o->paths, "files or folders of CSV tables, .gz too")->required();
  verb->add_option("--format", o->format, "table | json | csv | md; errors in json are fractions")
      ->check(CLI::IsMember({"table", "json", "csv", "md"}));
  verb->add_option("-o,--output", o->file, "write there instead of to stdout");
  verb->add_option("--report", o->report,
                   "write the Markdown table there too (reports/accuracy.md)");
  verb->add_option("--rows", o->rows, "write every row with its prediction or refusal there (CSV)");
  verb->add_option("--worst", o->worst, "rows with the largest errors, listed (0)");
  verb->callback([o, &exit_code] {
    const Tally t = accuracy::assess(o->paths);
    if (!o->report.empty()) Output(o->report).stream() << to_markdown(t);
    if (!o->rows.empty()) Output(o->rows).stream() << rows_csv(t);
    Output out(o->file);
    if (o->format == "json") out.stream() << to_json(t, *o).dump(2) << '\n';
    else if (o->format == "csv") out.stream() << to_csv(t);
    else if (o->format == "md") out.stream() << to_markdown(t);
    else out.stream() << to_table(t, o->worst);
    if (t.outcomes.empty()) exit_code = kUsage;
  });
}

}  // namespace kvroof::cli
