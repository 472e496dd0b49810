// kvroof plot: one figure of one or several scenarios, or of measured records.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "model/user_error.hpp"
#include "reports/braille.hpp"
#include "reports/convert.hpp"
#include "reports/grid.hpp"
#include "reports/html.hpp"
#include "scenarios/cli/figure_data.hpp"
#include "scenarios/cli/output.hpp"
#include "scenarios/cli/records.hpp"
#include "scenarios/cli/stack.hpp"
#include "scenarios/cli/subjects.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

struct Options {
  std::string kind, file, phase = "decode";
  std::vector<std::string> more;
  RecordChoice records;
};

/// A step that does not fit has no times to draw.
void need_fit(const std::vector<Subject>& subjects) {
  for (const Subject& s : subjects)
    if (!s.prediction.memory.fits) throw DoesNotFit(s.name + ": " + s.prediction.memory.reason);
}

template <class F>
reports::Figure drawn(const std::string& id, const F& f, std::size_t series) {
  if (series == 0) throw DoesNotFit("no point of this figure fits in memory");
  return reports::figure(id, f);
}

std::vector<reports::Figure> figures(const Options& o, const std::vector<Subject>& subjects) {
  const Phase phase = o.phase == "prefill" ? Phase::prefill : Phase::decode;
  const auto each = [&](auto make) {
    std::vector<reports::Figure> out;
    for (const Subject& s : subjects)
      out.push_back(reports::figure(
          out.empty() ? o.kind : o.kind + "-" + std::to_string(out.size() + 1), make(s, phase)));
    return out;
  };
  if (o.kind == "memory") return {reports::figure(o.kind, memory(subjects))};
  if (o.kind == "context") return {reports::figure(o.kind, kv_context(subjects))};
  if (o.kind == "pareto") {
    const reports::Pareto f = pareto(subjects);
    return {drawn(o.kind, f, f.series.size())};
  }
  if (o.kind == "load") {
    const reports::LoadCurve f = load(subjects);
    return {drawn(o.kind, f, f.series.size())};
  }
  if (o.kind == "cost") {
    const reports::CostContext f = cost(subjects);
    return {drawn(o.kind, f, f.series.size())};
  }
  need_fit(subjects);
  if (o.kind == "roofline") return {reports::figure(o.kind, roofline(subjects, phase))};
  if (o.kind == "ops") return each(op_times);
  return each(waterfall);
}

void print(const std::vector<reports::Figure>& figures) {
  for (const reports::Figure& f : figures) {
    std::cout << f.table.caption << "\n\n";
    std::string align;
    std::vector<std::string> heads;
    for (const auto& c : f.table.columns) align += c.numeric ? 'r' : 'l', heads.push_back(c.name);
    reports::Grid g(align);
    g.row(heads);
    for (const auto& row : f.table.rows) g.row(row);
    g.print(std::cout, "  ");
  }
}

int plot(const Inputs& in, const Options& o) {
  if (o.kind == "validation") {
    std::vector<std::string> files = o.more;
    files.insert(files.begin(), in.file);
    const std::vector<reports::Figure> f = record_figures(files, in, o.records);
    return o.file.empty() ? (print(f), kOk) : write_figures(f, o.file);
  }
  const std::vector<Subject> all = subjects(cases(in, o.more));
  if (o.kind == "trace") {
    if (all.size() != 1) throw UserError("kvroof plot trace: expected one scenario");
    need_fit(all);
    Output out(o.file);
    out.stream() << reports::chrome_trace(
        trace(all.front(), o.phase == "prefill" ? Phase::prefill : Phase::decode));
    return kOk;
  }
  if (o.file.empty() && o.kind == "roofline") {
    need_fit(all);
    std::cout << reports::terminal_roofline(
        roofline(all, o.phase == "prefill" ? Phase::prefill : Phase::decode),
        {.utf8 = Output("").unicode()});
    return kOk;
  }
  const std::vector<reports::Figure> f = figures(o, all);
  return o.file.empty() ? (print(f), kOk) : write_figures(f, o.file);
}

}  // namespace

void add_plot(CLI::App& app, int& exit_code) {
  CLI::App* verb = app.add_subcommand("plot", "one figure: SVG, PNG, PDF, HTML, or the terminal");
  auto o = std::make_shared<Options>();
  verb->add_option("kind", o->kind,
                   "roofline | ops | waterfall | memory | context | pareto | load | cost | trace "
                   "(Chrome trace events) | validation (of CSV records)")
      ->required()
      ->check(CLI::IsMember({"roofline", "ops", "waterfall", "memory", "context", "pareto", "load",
                             "cost", "trace", "validation"}));
  auto in = add_inputs(*verb);
  verb->add_option("scenarios", o->more, "more scenarios to compare; --hardware a,b compares GPUs");
  verb->add_option("-o,--output", o->file, ".svg | .png | .pdf | .html; without: the terminal");
  verb->add_option("--phase", o->phase, "decode | prefill")
      ->check(CLI::IsMember({"decode", "prefill"}));
  verb->add_option("--quantities", o->records.quantities,
                   "of records: time, \"HBM read\", roofline, … (all)")
      ->delimiter(',');
  verb->add_option("--kernels", o->records.kernels, "of records: these kernels (all)")
      ->delimiter(',');
  verb->callback([in, o, &exit_code] {
    try {
      exit_code = plot(*in, *o);
    } catch (const DoesNotFit& e) {
      std::cerr << e.what() << '\n';
      exit_code = kNo;
    }
  });
}

}  // namespace kvroof::cli
