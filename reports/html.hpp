// A self-contained report: the same SVGs as the files, their numbers as tables and as JSON, and a
// few KB of our own JavaScript. No URL leads out of it; without JavaScript it is a document.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "reports/data_table.hpp"
#include "reports/scene.hpp"

namespace kvroof::reports {

struct Figure {
  std::string id;     // letters, digits, '-': anchor and name of the saved file
  std::string phase;  // "decode", "prefill": the page can show one phase alone; empty: always shown
  std::string note;   // what to see in it
  Scene wide, narrow;
  DataTable table;
};

/// Any figure struct of reports/figures/: laid out for a desktop and for a phone, with its table.
template <class F>
Figure figure(std::string id, const F& f, std::string note = {}, std::string phase = {}) {
  return {std::move(id),         std::move(phase),      std::move(note),
          scene(f, Canvas{940}), scene(f, Canvas{360}), data_table(f)};
}

struct ReportSection {
  std::string heading;
  std::vector<std::string> paragraphs;
  std::vector<Figure> figures;
  std::vector<DataTable> tables;
};

/// A planner's document: question, answer, figures, assumptions with sources, how it was measured.
struct Report {
  std::string title;
  std::string question, answer;                            // one sentence each
  std::vector<std::pair<std::string, std::string>> facts;  // "TPOT" -> "8.39 ms (7.9 – 8.9)"
  std::vector<std::string> warnings;
  std::vector<ReportSection> sections;
  DataTable assumptions;                // what, value, source
  std::vector<std::string> provenance;  // program, version, date, profile, driver, clocks
  std::string results_json;  // the result object as `--format json` prints it; may be empty
};

std::string html(const Report& r);

}  // namespace kvroof::reports
