#include "reports/html.hpp"

#include <fmt/format.h>

#include <cassert>

#include "reports/embedded.hpp"
#include "reports/svg.hpp"
#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

std::string element(std::string_view name, std::string_view text,
                    std::string_view attributes = "") {
  return fmt::format("<{0}{1}>{2}</{0}>\n", name, attributes, xml_escape(text));
}

std::string table_html(const DataTable& t) {
  std::string out = "<div class=\"scroll\"><table>";
  if (!t.caption.empty()) out += element("caption", t.caption);
  out += "<thead><tr>";
  for (const auto& c : t.columns)
    out += fmt::format("<th{}>{}</th>", c.numeric ? " class=\"n\"" : "", xml_escape(c.name));
  out += "</tr></thead><tbody>\n";
  for (const auto& row : t.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i)
      out += fmt::format("<td{}>{}</td>",
                         i < t.columns.size() && t.columns[i].numeric ? " class=\"n\"" : "",
                         xml_escape(row[i]));
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string figure_html(const Figure& f) {
  assert(f.wide.tips.size() == f.narrow.tips.size());
  std::string out = fmt::format("<figure id=\"{}\"", xml_escape(f.id));
  if (!f.phase.empty()) out += fmt::format(" data-phase=\"{}\"", xml_escape(f.phase));
  out += ">\n<div class=\"controls\"></div>\n<div class=\"wide\">" +
         svg(f.wide, {.inside_page = true});
  out += "</div>\n<div class=\"narrow\">" + svg(f.narrow, {.inside_page = true, .titles = false}) +
         "</div>\n";
  if (!f.note.empty()) out += element("figcaption", f.note);
  DataTable numbers = f.table;
  numbers.caption.clear();  // the figure says it
  return out + "<details><summary>Numbers</summary>" + table_html(numbers) +
         "</details>\n</figure>\n";
}

template <class List, class Print>
std::string json_list(const List& list, Print print) {
  std::string out = "[";
  for (const auto& item : list) {
    if (out.size() > 1) out += ',';
    out += print(item);
  }
  return out + "]";
}

std::string json_pair(const std::pair<std::string, std::string>& p) {
  return fmt::format("[{},{}]", json_string(p.first), json_string(p.second));
}

std::string figure_json(const Figure& f) {
  const auto tip = [](const Tip& t) {
    return fmt::format("{{\"name\":{},\"rows\":{},\"derivation\":{}}}", json_string(t.name),
                       json_list(t.rows, json_pair), json_string(t.derivation));
  };
  return fmt::format("{}:{{\"title\":{},\"gpus\":{},\"roofs\":{},\"tips\":{}}}", json_string(f.id),
                     json_string(f.wide.caption.title), json_list(f.wide.layers.gpus, json_string),
                     json_list(f.wide.layers.roofs, json_pair), json_list(f.wide.tips, tip));
}

/// "</" cannot end the script early: '<' only occurs inside JSON strings.
std::string inside_script(std::string json) {
  for (std::size_t at = 0; (at = json.find('<', at)) != std::string::npos;)
    json.replace(at, 1, "\\u003c");
  return json;
}

std::string data_json(const Report& r) {
  std::string figures;
  for (const ReportSection& s : r.sections)
    for (const Figure& f : s.figures) figures += (figures.empty() ? "\n" : ",\n") + figure_json(f);
  return fmt::format(
      "{{\"schema\":\"kvroof/report/v1\",\"title\":{},\"figures\":{{{}}},\n\"results\":{}}}",
      json_string(r.title), figures,
      r.results_json.empty() ? "null" : inside_script(r.results_json));
}

}  // namespace

std::string html(const Report& r) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      // The browser itself enforces that nothing is fetched.
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>\n";
  out += element("title", r.title);
  out += fmt::format("<style>\n{}</style>\n<style id=\"svg-style\">{}</style>\n</head>\n<body>\n",
                     report_css(), svg_style());
  out += element("h1", r.title) + "<div class=\"tools controls\"></div>\n";
  if (!r.question.empty()) out += element("p", r.question, " class=\"muted\"");
  if (!r.answer.empty()) out += element("p", r.answer, " class=\"answer\"");
  for (const std::string& w : r.warnings) out += element("p", w, " class=\"warn\"");
  if (!r.facts.empty()) {
    out += "<dl>\n";
    for (const auto& [name, value] : r.facts)
      out += "<div>" + element("dt", name) + element("dd", value) + "</div>";
    out += "</dl>\n";
  }
  for (const ReportSection& s : r.sections) {
    out += "<section>\n" + element("h2", s.heading);
    for (const std::string& p : s.paragraphs) out += element("p", p);
    for (const Figure& f : s.figures) out += figure_html(f);
    for (const DataTable& t : s.tables) out += table_html(t);
    out += "</section>\n";
  }
  if (!r.assumptions.rows.empty())
    out += "<section>\n" + element("h2", "Assumptions and sources") + table_html(r.assumptions) +
           "</section>\n";
  if (!r.provenance.empty()) {
    out += "<section>\n" + element("h2", "How this was made");
    for (const std::string& p : r.provenance) out += element("p", p, " class=\"muted\"");
    out += "</section>\n";
  }
  out += "<div id=\"tip\" role=\"status\" hidden=\"hidden\"></div>\n";
  out += fmt::format(
      "<script type=\"application/json\" "
      "id=\"data\">{}</script>\n<script>\n{}</script>\n</body>\n</html>\n",
      data_json(r), report_js());
  return out;
}

}  // namespace kvroof::reports
