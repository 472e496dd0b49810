// kvroof report: one self-contained HTML document of one or several scenarios.
#include <CLI/CLI.hpp>

#include "scenarios/cli/output.hpp"
#include "scenarios/cli/planner_report.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {

void add_report(CLI::App& app, int& exit_code) {
  struct Options {
    std::string file;
    std::vector<std::string> more;
  };
  CLI::App* verb = app.add_subcommand("report", "a capacity planner's document, one HTML file");
  auto in = add_inputs(*verb);
  auto o = std::make_shared<Options>();
  verb->add_option("scenarios", o->more, "more scenarios to compare; --hardware a,b compares GPUs");
  verb->add_option("-o,--output", o->file, "report.html")->required();
  verb->callback([in, o, &exit_code] {
    const std::vector<Case> all = cases(*in, o->more);
    Output out(o->file);
    out.stream() << reports::html(planner_report(all));
    exit_code = kOk;
    for (const Case& c : all)
      if (!c.subject.prediction.memory.fits) exit_code = kNo;
  });
}

}  // namespace kvroof::cli
