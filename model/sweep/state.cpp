#include "model/sweep/state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "model/user_error.hpp"

namespace kvroof::sweep {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* kSchema = "kvroof/sweep-state/v1";

// JSON has no infinity: null stands for it where a limit or a range is open.
Json number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }
double number(const Json& j, double otherwise) { return j.is_null() ? otherwise : j.get<double>(); }

Json to_json(const Entry& e) {
  Json j = Json::array({e.point});
  for (const double v : e.values) j.push_back(number(v));
  return j;
}

Entry entry(const Json& j, const Grid& grid) {
  Entry e{.point = j.at(0).get<std::int64_t>()};
  if (j.size() != kNumColumns + 1 || e.point < 0 || e.point >= grid.points())
    throw std::out_of_range("a point outside the grid");
  for (std::size_t c = 0; c < kNumColumns; ++c)
    e.values[c] = number(j.at(c + 1), std::numeric_limits<double>::infinity());
  return e;
}

Json to_json(const Histogram& h) {
  Json j = Json::array();  // [bin, count] of the bins that are not empty
  for (std::size_t i = 0; i < h.counts.size(); ++i)
    if (h.counts[i] > 0) j.push_back({i, h.counts[i]});
  return j;
}

Json to_json(const Grid& g) {
  Json axes = Json::array();
  for (const GridAxis& a : g.axes) axes.push_back({{"path", a.path}, {"values", a.values}});
  return {{"deployment_axes", g.num_outer}, {"axes", axes}};
}

Grid grid(const Json& j) {
  Grid g{.num_outer = j.at("deployment_axes").get<std::size_t>()};
  double points = 1;
  for (const Json& a : j.at("axes")) {
    g.axes.push_back({.path = a.at("path"), .values = a.at("values")});
    points *= static_cast<double>(g.axes.back().values.size());
  }
  if (g.num_outer > g.axes.size() || points < 1 || points > 1e15)
    throw std::out_of_range("no grid");
  return g;
}

Json to_json(const Reduction& r) {
  return {{"by", std::string(info(r.by).name)},
          {"top", r.top},
          {"pareto", {std::string(info(r.pareto_x).name), std::string(info(r.pareto_y).name)}},
          {"per", r.per},
          {"ttft_s", number(r.slo.ttft)},
          {"tpot_s", number(r.slo.tpot)}};
}

Column column(const Json& j) {
  const auto found = find_column(j.get<std::string>());
  if (!found) throw std::out_of_range("an unknown column");
  return *found;
}

Reduction reduction(const Json& j) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  return {.by = column(j.at("by")),
          .top = j.at("top"),
          .pareto_x = column(j.at("pareto").at(0)),
          .pareto_y = column(j.at("pareto").at(1)),
          .per = j.at("per"),
          .slo = {number(j.at("ttft_s"), kInf), number(j.at("tpot_s"), kInf)}};
}

void read_kept(const Json& j, const Grid& g, Kept& k) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const Json& c = j.at("counts");
  k.counts = {.points = c.at("points"),
              .impossible = c.at("impossible"),
              .too_big = c.at("too_big"),
              .miss_slo = c.at("miss_slo"),
              .kept = c.at("kept")};
  for (std::size_t i = 0; i < kNumColumns; ++i) {
    k.least[i] = number(j.at("least").at(i), kInf), k.most[i] = number(j.at("most").at(i), -kInf);
    for (const Json& bin : j.at("histograms").at(i))
      k.histograms[i].counts.at(bin.at(0).get<std::size_t>()) = bin.at(1);
  }
  for (std::size_t a = 0; a < k.marginals.size(); ++a)
    for (std::size_t v = 0; v < k.marginals[a].size(); ++v) {
      const Json& m = j.at("marginals").at(a).at(v);
      k.marginals[a][v] = {.points = m.at(0), .kept = m.at(1)};
      if (k.marginals[a][v].kept > 0) k.marginals[a][v].best = entry(m.at(2), g);
    }
  for (const Json& e : j.at("top")) k.top.add(entry(e, g));
  for (std::size_t i = 0; i < k.fronts.size(); ++i)
    for (const Json& e : j.at("fronts").at(i)) k.fronts[i].add(entry(e, g));
}

}  // namespace

std::string print_state(const State& s, const Kept& k) {
  Json least = Json::array(), most = Json::array(), histograms = Json::array();
  for (std::size_t c = 0; c < kNumColumns; ++c) {
    least.push_back(number(k.least[c])), most.push_back(number(k.most[c]));
    histograms.push_back(to_json(k.histograms[c]));
  }
  Json marginals = Json::array(), top = Json::array(), fronts = Json::array();
  for (const auto& values : k.marginals) {
    Json axis = Json::array();
    for (const Marginal& m : values)
      axis.push_back(m.kept > 0 ? Json::array({m.points, m.kept, to_json(m.best)})
                                : Json::array({m.points, m.kept}));
    marginals.push_back(std::move(axis));
  }
  for (const Entry& e : k.top.sorted()) top.push_back(to_json(e));
  for (const Front& f : k.fronts) {
    Json front = Json::array();
    for (const Entry& e : f.entries()) front.push_back(to_json(e));
    fronts.push_back(std::move(front));
  }
  Json j{{"schema", kSchema},
         {"inputs", s.inputs},
         {"grid", to_json(s.grid)},
         {"reduction", to_json(s.how)},
         {"begin", s.progress.begin},
         {"next", s.progress.next},
         {"end", s.progress.end},
         {"counts",
          {{"points", k.counts.points},
           {"impossible", k.counts.impossible},
           {"too_big", k.counts.too_big},
           {"miss_slo", k.counts.miss_slo},
           {"kept", k.counts.kept}}},
         {"least", least},
         {"most", most},
         {"histograms", histograms},
         {"marginals", marginals},
         {"top", top},
         {"fronts", fronts}};
  return j.dump() + '\n';
}

LoadedState read_state(const std::string& text, const std::string& name) {
  try {
    const Json j = Json::parse(text);
    if (j.at("schema") != kSchema) throw std::out_of_range("another schema");
    auto s = std::make_shared<State>(State{.inputs = j.at("inputs"),
                                           .grid = grid(j.at("grid")),
                                           .how = reduction(j.at("reduction")),
                                           .progress = {j.at("begin"), j.at("next"), j.at("end")}});
    const Progress& p = s->progress;
    if (p.begin < 0 || p.next < p.begin || p.end < p.next || p.end > s->grid.points())
      throw std::out_of_range("a range outside the grid");
    LoadedState loaded{s, Kept(s->grid, s->how)};
    read_kept(j, s->grid, loaded.kept);
    return loaded;
  } catch (const std::exception& e) {  // nlohmann's errors speak of keys and types
    throw UserError(
        fmt::format("{}: expected the state of a sweep ({}): {}", name, kSchema, e.what()));
  }
}

LoadedState merge_states(std::vector<LoadedState> parts) {
  if (parts.empty()) throw UserError("expected at least one state of a sweep, got none");
  std::sort(parts.begin(), parts.end(), [](const LoadedState& a, const LoadedState& b) {
    const Progress &x = a.state->progress, &y = b.state->progress;
    return x.begin != y.begin ? x.begin < y.begin : x.end < y.end;
  });
  const State& first = *parts[0].state;
  std::int64_t covered = 0;
  for (const LoadedState& p : parts) {
    const Progress& range = p.state->progress;
    if (p.state->inputs != first.inputs)
      throw UserError(fmt::format("points {} to {} are of another sweep: inputs {}, expected {}",
                                  range.begin, range.end, p.state->inputs, first.inputs));
    if (!range.done())
      throw UserError(fmt::format("points {} to {} are not done: {} are; run that shard again",
                                  range.begin, range.end, range.next - range.begin));
    if (range.begin > covered)
      throw UserError(fmt::format("points {} to {} are missing", covered, range.begin));
    if (range.begin < covered)
      throw UserError(fmt::format("points {} to {} are there twice", range.begin, covered));
    covered = range.end;
  }
  if (covered != first.grid.points())
    throw UserError(fmt::format("points {} to {} are missing", covered, first.grid.points()));
  LoadedState whole = std::move(parts[0]);
  for (std::size_t i = 1; i < parts.size(); ++i) whole.kept.merge(parts[i].kept);
  whole.state->progress = {0, covered, covered};
  return whole;
}

std::string hash_of(const std::vector<std::string>& texts) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (const std::string& t : texts)
    for (std::size_t i = 0; i <= t.size(); ++i)  // the final 0 keeps ("ab", "c") from ("a", "bc")
      h = (h ^ static_cast<unsigned char>(t.c_str()[i])) * 0x100000001b3;
  return fmt::format("{:016x}", h);
}

}  // namespace kvroof::sweep
