#include "scenarios/cli/sweep_files.hpp"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "model/replace_file.hpp"
#include "reports/grid.hpp"

namespace kvroof::cli {
namespace {

using Json = nlohmann::ordered_json;
using sweep::Column;
using sweep::Entry;
using sweep::Kept;
using sweep::State;

/// Values of the axes at a point; words without the quotes YAML needs.
std::vector<std::string> cells(const State& s, std::int64_t point) {
  std::vector<std::string> out;
  const std::vector<std::int64_t> digits = s.grid.digits(point);
  for (std::size_t a = 0; a < digits.size(); ++a)
    out.push_back(s.grid.axes[a].values[static_cast<std::size_t>(digits[a])]);
  return out;
}

reports::Grid points_table(const State& s, const std::vector<Entry>& entries) {
  reports::Grid g(std::string(s.grid.axes.size(), 'l'));
  std::vector<std::string> header;
  for (const sweep::GridAxis& a : s.grid.axes) header.push_back(a.path);
  for (const sweep::ColumnInfo& c : sweep::kColumns) header.emplace_back(c.name);
  g.row(header);
  for (const Entry& e : entries) {
    std::vector<std::string> row = cells(s, e.point);
    for (const double v : e.values) row.push_back(fmt::format("{}", v));
    g.row(row);
  }
  return g;
}

std::vector<Entry> all_fronts(const Kept& k) {
  std::vector<Entry> out;
  for (const sweep::Front& f : k.fronts)
    out.insert(out.end(), f.entries().begin(), f.entries().end());
  return out;
}

reports::Grid marginals_table(const State& s, const Kept& k) {
  reports::Grid g("ll");
  const std::string by(info(s.how.by).name);
  g.row({"axis", "value", "points", "kept", "best_" + by, "best_point"});
  for (std::size_t a = 0; a < s.grid.axes.size(); ++a)
    for (std::size_t v = 0; v < s.grid.axes[a].values.size(); ++v) {
      const sweep::Marginal& m = k.marginals[a][v];
      g.row({s.grid.axes[a].path, s.grid.axes[a].values[v], fmt::format("{}", m.points),
             fmt::format("{}", m.kept), m.kept ? fmt::format("{}", m.best[s.how.by]) : "",
             m.kept ? fmt::format("{}", m.best.point) : ""});
    }
  return g;
}

reports::Grid histograms_table(const Kept& k) {
  reports::Grid g("l");
  g.row({"column", "from", "to", "points"});
  for (std::size_t c = 0; c < sweep::kNumColumns; ++c)
    for (int bin = 0; bin < sweep::Histogram::kBins; ++bin)
      if (const std::int64_t n = k.histograms[c].counts[static_cast<std::size_t>(bin)]; n > 0)
        g.row({std::string(sweep::kColumns[c].name),
               fmt::format("{}", sweep::Histogram::lower_edge(bin)),
               fmt::format("{}", sweep::Histogram::lower_edge(bin + 1)), fmt::format("{}", n)});
  return g;
}

reports::Grid ranges_table(const Kept& k) {
  reports::Grid g("l");
  g.row({"column", "least", "most"});
  for (std::size_t c = 0; c < sweep::kNumColumns; ++c)
    if (k.counts.kept > 0)
      g.row({std::string(sweep::kColumns[c].name), fmt::format("{}", k.least[c]),
             fmt::format("{}", k.most[c])});
  return g;
}

Json counts_json(const Kept& k) {
  return {{"points", k.counts.points},
          {"cannot_exist", k.counts.impossible},
          {"do_not_fit", k.counts.too_big},
          {"miss_slo", k.counts.miss_slo},
          {"kept", k.counts.kept}};
}

Json entry_json(const State& s, const Entry& e) {
  Json at, values;
  const std::vector<std::string> c = cells(s, e.point);
  for (std::size_t a = 0; a < c.size(); ++a) at[s.grid.axes[a].path] = c[a];
  for (std::size_t i = 0; i < sweep::kNumColumns; ++i)
    values[std::string(sweep::kColumns[i].name)] = e.values[i];
  return {{"point", e.point}, {"at", at}, {"values", values}};
}

Json entries_json(const State& s, const std::vector<Entry>& entries) {
  Json list = Json::array();
  for (const Entry& e : entries) list.push_back(entry_json(s, e));
  return list;
}

std::string thousands(std::int64_t n) {
  std::string s = fmt::format("{}", n);
  for (std::ptrdiff_t i = static_cast<std::ptrdiff_t>(s.size()) - 3; i > 0; i -= 3)
    s.insert(static_cast<std::size_t>(i), ",");
  return s;
}

/// The axes that vary, and the columns people ask for first.
reports::Grid short_table(const State& s, const std::vector<Entry>& entries, std::size_t most) {
  std::vector<std::string> header;
  std::string align;
  for (const sweep::GridAxis& a : s.grid.axes)
    if (a.values.size() > 1) header.push_back(a.path.substr(a.path.rfind('.') + 1)), align += 'l';
  for (const char* h :
       {"TTFT ms", "TPOT ms", "tok/s/user", "output tok/s/GPU", "$/M tokens", "KV pool"})
    header.emplace_back(h);
  reports::Grid g(align);
  g.row(header);
  for (std::size_t i = 0; i < std::min(most, entries.size()); ++i) {
    const Entry& e = entries[i];
    std::vector<std::string> row;
    const std::vector<std::string> at = cells(s, e.point);
    for (std::size_t a = 0; a < at.size(); ++a)
      if (s.grid.axes[a].values.size() > 1) row.push_back(at[a]);
    row.push_back(fmt::format("{:.1f}", e[Column::ttft] / milli));
    row.push_back(fmt::format("{:.2f}", e[Column::tpot] / milli));
    row.push_back(fmt::format("{:.1f}", e[Column::rate_per_user]));
    row.push_back(fmt::format("{:.0f}", e[Column::output_rate_per_gpu]));
    row.push_back(fmt::format("{:.3f}", e[Column::usd]));
    row.push_back(fmt::format("{:.0f} %", 100 * e[Column::kv_share]));
    g.row(row);
  }
  return g;
}

}  // namespace

std::string state_file(std::int64_t index, std::int64_t count) {
  return fmt::format("shard-{:05}-of-{:05}.json", index, count);
}

std::vector<std::string> write_sweep_files(const std::string& folder, const State& s,
                                           const Kept& k) {
  std::vector<std::string> written;
  const auto csv = [&](const char* name, const reports::Grid& g) {
    std::ostringstream text;
    g.print_csv(text);
    const std::string path = (std::filesystem::path(folder) / name).string();
    replace_file(path, text.str());
    written.push_back(fmt::format("{} ({} rows)", path, g.rows().size() - 1));
  };
  csv("pareto.csv", points_table(s, all_fronts(k)));
  csv("top.csv", points_table(s, k.top.sorted()));
  csv("marginals.csv", marginals_table(s, k));
  csv("histograms.csv", histograms_table(k));
  csv("ranges.csv", ranges_table(k));
  Json axes = Json::array();
  for (const sweep::GridAxis& a : s.grid.axes)
    axes.push_back({{"path", a.path}, {"values", a.values}});
  const Json manifest{{"schema", "kvroof/sweep/v1"},
                      {"kvroof", KVROOF_VERSION},
                      {"inputs_fnv1a64", s.inputs},
                      {"counts", counts_json(k)},
                      {"axes", axes}};
  const std::string path = (std::filesystem::path(folder) / "manifest.json").string();
  replace_file(path, manifest.dump(2) + '\n');
  written.push_back(path);
  return written;
}

void print_sweep(std::ostream& out, const State& s, const Kept& k, const std::string& format) {
  const std::vector<Entry> top = k.top.sorted(), fronts = all_fronts(k);
  if (format == "csv") return points_table(s, top).print_csv(out);
  if (format == "md") return points_table(s, top).print_markdown(out);
  if (format == "json") {
    const Json j{{"schema", "kvroof/result/v1"},
                 {"inputs", {{"inputs_fnv1a64", s.inputs}}},
                 {"results",
                  {{"counts", counts_json(k)},
                   {"by", std::string(info(s.how.by).name)},
                   {"top", entries_json(s, top)},
                   {"pareto", entries_json(s, fronts)}}},
                 {"warnings", Json::array()}};
    out << j.dump(2) << '\n';
    return;
  }
  const bool objective = std::isfinite(s.how.slo.ttft) || std::isfinite(s.how.slo.tpot);
  out << fmt::format(
      "{} points in {} deployments: {} kept, {} do not fit, {}{} cannot be cut so\n\n",
      thousands(k.counts.points), thousands(s.grid.deployments()), thousands(k.counts.kept),
      thousands(k.counts.too_big),
      objective ? thousands(k.counts.miss_slo) + " miss the SLO, " : "",
      thousands(k.counts.impossible));
  if (k.counts.kept == 0) return;
  out << fmt::format("best {}\n", info(s.how.by).name);
  short_table(s, top, 10).print(out, "  ");
  out << fmt::format("\nPareto {} against {}{}: {} points, the first of them\n",
                     info(s.how.pareto_x).name, info(s.how.pareto_y).name,
                     s.how.per.empty() ? "" : ", for each " + s.how.per, fronts.size());
  short_table(s, fronts, 10).print(out, "  ");
  if (objective)
    out << "\nThe SLO is held against the TTFT of an idle GPU and the mean TPOT; tails need kvroof "
           "simulate.\n";
}

}  // namespace kvroof::cli
