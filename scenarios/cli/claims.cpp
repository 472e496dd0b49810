// kvroof claims: sentences that circulate, recomputed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "model/claim_quantities.hpp"
#include "model/claims.hpp"
#include "model/search_path.hpp"
#include "model/user_error.hpp"
#include "reports/grid.hpp"
#include "scenarios/cli/verbs.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;
using claims::Claim;
using claims::Judged;
using claims::Judgement;

struct Options {
  std::vector<std::string> which;  // numbers, names or files; all if none
  std::string format = "table";
  bool verbose = false, quantities = false;
};

struct Entry {
  Claim claim;
  Judgement judgement;
};

bool asked_for(const Claim& claim, const std::string& which) {
  return which == std::to_string(claim.id) || which == claim.name;
}

std::vector<Entry> judged(const Options& o) {
  std::vector<Entry> entries;
  std::vector<std::string> unknown;
  const auto add = [&](Claim claim) {
    Judgement j = claims::judge(claim);
    entries.push_back({std::move(claim), std::move(j)});
  };
  std::vector<Claim> bundled;
  for (const std::string& file : claims::claim_files(search_roots()))
    bundled.push_back(claims::load_claim(file));
  if (o.which.empty())
    for (Claim& claim : bundled) add(std::move(claim));
  for (const std::string& which : o.which) {
    if (looks_like_path(which)) {
      add(claims::load_claim(which));
      continue;
    }
    const auto found = std::find_if(bundled.begin(), bundled.end(),
                                    [&](const Claim& c) { return asked_for(c, which); });
    if (found == bundled.end())
      unknown.push_back("no claim '" + which + "'; kvroof claims lists all");
    else add(*found);
  }
  if (!unknown.empty()) throw UserError(unknown);
  return entries;
}

std::string stated_text(const Judged& row) {
  if (!row.stated) return row.condition ? "must hold" : "";
  constexpr const char* senses[] = {"", "at most ", "at least "};
  return senses[static_cast<int>(row.stated->sense)] + claims::print(row.stated->value, 6);
}

/// One reading, two with a bar between them, or the span of several.
std::string readings_text(const Judged& row) {
  const auto less = [](const Judged::Reading& a, const Judged::Reading& b) {
    return a.value.value < b.value.value;
  };
  const auto [low, high] = std::minmax_element(row.readings.begin(), row.readings.end(), less);
  const std::string first = claims::print(low->value), last = claims::print(high->value);
  if (row.readings.size() == 1) return first;
  return first + (row.readings.size() == 2 ? " | " : " … ") + last;
}

std::string verdict_text(const Judged& row) {
  if (row.condition) return row.verdict == claims::Verdict::right ? "holds" : "does not hold";
  if (!row.stated) return "";
  const std::string text = claims::text(row.verdict, row.factor);
  return row.unit_slip.empty() ? text : text + " (" + row.unit_slip + ")";
}

/// Lines of at most `width` bytes, broken at blanks.
std::string wrapped(std::string_view text, std::size_t width, const std::string& indent) {
  std::string out;
  while (text.size() > width) {
    const std::size_t blank = text.rfind(' ', width);
    if (blank == text.npos || blank == 0) break;
    out += indent + std::string(text.substr(0, blank)) + '\n';
    text.remove_prefix(blank + 1);
  }
  return out + indent + std::string(text) + '\n';
}

/// The sentence cut to `width` bytes, never inside a character.
std::string shortened(const std::string& text, std::size_t width) {
  if (text.size() <= width) return text;
  std::size_t end = width - 1;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

void print_one(const Entry& e) {
  std::cout << fmt::format("{}  {}\n", e.claim.id, e.claim.claim)
            << fmt::format("    {}\n    source: {}\n\n",
                           claims::text(e.judgement.verdict, e.judgement.factor), e.claim.source);
  reports::Grid grid("lrrll");
  grid.row({"figure", "stated", "computed", "reading", "verdict"});
  for (const Judged& row : e.judgement.rows)
    for (std::size_t i = 0; i < row.readings.size(); ++i)
      grid.row({i ? "" : row.what, i ? "" : stated_text(row), claims::print(row.readings[i].value),
                row.readings[i].label, i ? "" : verdict_text(row)});
  grid.print(std::cout, "    ");
  std::cout << '\n' << wrapped(e.claim.why, 92, "    ") << '\n';
}

void print_all(const std::vector<Entry>& entries, const std::string& format) {
  reports::Grid grid("rlrrl");
  grid.row({"#", "claim", "stated", "computed", "verdict"});
  for (const Entry& e : entries) {
    const Judged& row = e.judgement.rows[e.judgement.decisive];
    const std::string verdict =
        row.condition ? claims::text(e.judgement.verdict, 1) : verdict_text(row);
    grid.row({std::to_string(e.claim.id),
              format == "table" ? shortened(e.claim.claim, 72) : e.claim.claim,
              row.condition ? row.what : stated_text(row), readings_text(row), verdict});
  }
  if (format == "csv") return grid.print_csv(std::cout);
  if (format == "md") return grid.print_markdown(std::cout);
  grid.print(std::cout);
  std::cout << "\nstated and computed: the figure that decides; a | b: two readings of it\n"
               "kvroof claims 7: every figure of claim 7, and why\n";
}

Json figure_json(const claims::Figure& f) {
  if (f.kind == claims::Kind::truth) return f.value != 0;
  return f.value;
}

Json entry_json(const Entry& e) {
  Json rows = Json::array();
  for (const Judged& row : e.judgement.rows) {
    Json readings = Json::array();
    for (const Judged::Reading& r : row.readings)
      readings.push_back({{"reading", r.label},
                          {"value", figure_json(r.value)},
                          {"text", claims::print(r.value)}});
    rows.push_back({{"what", row.what},
                    {"stated", row.stated ? figure_json(row.stated->value) : Json()},
                    {"stated_text", row.stated ? Json(stated_text(row)) : Json()},
                    {"computed", readings},
                    {"verdict", verdict_text(row)}});
  }
  return {{"id", e.claim.id},
          {"name", e.claim.name},
          {"claim", e.claim.claim},
          {"source", e.claim.source},
          {"verdict", claims::text(e.judgement.verdict, e.judgement.factor)},
          {"figures", rows},
          {"why", e.claim.why}};
}

void print_json(const Options& o, const std::vector<Entry>& entries) {
  Json list = Json::array();
  for (const Entry& e : entries) list.push_back(entry_json(e));
  std::cout << Json{{"schema", "kvroof/result/v1"},
                    {"inputs", {{"claims", o.which}}},
                    {"results", {{"claims", list}}},
                    {"warnings", Json::array()}}
                   .dump(2)
            << '\n';
}

/// What a claim file may ask for.
void print_quantities(const std::string& format) {
  if (format == "json") {
    Json list = Json::array();
    for (const claims::Computation& c : claims::computations())
      list.push_back(
          {{"name", c.name}, {"needs", c.needs}, {"takes", c.takes}, {"computes", c.formula}});
    std::cout << Json{{"schema", "kvroof/result/v1"},
                      {"inputs", Json::object()},
                      {"results", {{"quantities", list}}},
                      {"warnings", Json::array()}}
                     .dump(2)
              << '\n';
    return;
  }
  reports::Grid grid("llll");
  grid.row({"quantity", "needs", "takes", "computes"});
  for (const claims::Computation& c : claims::computations())
    grid.row(
        {std::string(c.name), std::string(c.needs), std::string(c.takes), std::string(c.formula)});
  if (format == "csv") return grid.print_csv(std::cout);
  if (format == "md") return grid.print_markdown(std::cout);
  grid.print(std::cout);
}

}  // namespace

void add_claims(CLI::App& app, int&) {
  auto o = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("claims", "published claims recomputed: stated, computed, verdict, why");
  verb->add_option("which", o->which, "numbers, names or files of claims; all if none");
  verb->add_option("--format", o->format, "table | json | csv | md")
      ->check(CLI::IsMember({"table", "json", "csv", "md"}));
  verb->add_flag("-v,--verbose", o->verbose, "every figure of each claim, and why");
  verb->add_flag("--quantities", o->quantities, "the computations a claim file may ask for");
  verb->callback([o] {
    if (o->quantities) return print_quantities(o->format);
    const std::vector<Entry> entries = judged(*o);
    if (o->format == "json") return print_json(*o, entries);
    if (o->format == "table" && (o->verbose || !o->which.empty())) {
      for (const Entry& e : entries) print_one(e);
      return;
    }
    print_all(entries, o->format);
  });
}

}  // namespace kvroof::cli
