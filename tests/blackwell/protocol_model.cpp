#include "tests/blackwell/protocol_model.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string_view>
#include <tuple>

namespace kvroof::test {
namespace {

namespace forward = kernels::blackwell::forward;
using forward::kTiles;
using forward::kWarps;

/// One copy of a barrier, or a piece of data.
struct Name {
  std::string_view what;  // a literal
  int i = 0, warp = 0;
  auto operator<=>(const Name&) const = default;
  std::string text() const {
    return std::string(what) + "[" + std::to_string(i) + "]" +
           (warp >= 0 ? " of warp " + std::to_string(warp) : "");
  }
};

struct Access {
  Name data;
  bool write;
  std::string value;  // what is written, or expected
};
Access reads(Name data, std::string expected) { return {data, false, std::move(expected)}; }
Access writes(Name data, std::string value) { return {data, true, std::move(value)}; }

struct Arrival {
  int actor, event;
};

struct Event {
  std::string text;
  std::vector<int> after;  // events that end before this one starts
  std::vector<Access> accesses;
  int in_program_after = -1;  // the one before in its role; -1: the first, or no role's
};
struct Waiting {
  int event;
  Name barrier;
  int phase;
};

struct Graph {
  std::vector<Event> events;
  std::map<Name, std::map<int, std::vector<int>>> arrivals;  // barrier -> actor -> events
  std::vector<Waiting> waits;
  std::vector<int> last_of_role;
  int add(Event e) {
    events.push_back(std::move(e));
    return static_cast<int>(events.size()) - 1;
  }
};

std::string at(int w, int j) { return "(" + std::to_string(w) + "," + std::to_string(j) + ")"; }

/// The engine of protocol.hpp that records. One for each thread or warp that plays a role.
struct Recorder {
  Graph& graph;
  const Setting& setting;
  std::string role;
  int actor, warp = -1;
  int w = 0, last = -1;
  std::vector<int> products;                // multiply: all issued so far
  std::map<std::string, int> last_product;  // by accumulator
  int scored[kTiles] = {}, added[kTiles] = {}, growths[kTiles] = {};

  bool begin(int pair) {
    w = pair;
    for (int t = 0; t < kTiles; ++t) scored[t] = added[t] = growths[t] = 0;
    return pair < static_cast<int>(setting.key_tiles.size());
  }
  int key_tiles() const { return setting.key_tiles[static_cast<std::size_t>(w)]; }

  int step(std::string text, std::vector<Access> accesses = {}) {
    Event e{role + ": " + text, {}, std::move(accesses), last};
    if (last >= 0) e.after.push_back(last);
    return last = graph.add(std::move(e));
  }
  /// Starts after it was issued, and is no part of the role's own order.
  int start(std::string text, std::vector<Access> accesses) {
    const int issue = step("issue " + text);
    return graph.add({text, {issue}, std::move(accesses)});
  }
  void arrives(Barrier b, int copy, int event) {
    graph.arrivals[{forward::plan(b).name, copy, -1}][actor].push_back(event);
  }

  void wait(Barrier b, int copy, int phase) {
    if (setting.without && setting.without->role == role && setting.without->barrier == b) return;
    const Name name{forward::plan(b).name, copy, -1};
    const int e = step("wait " + name.text() + " phase " + std::to_string(phase));
    graph.waits.push_back({e, name, phase});
  }
  void arrive(Barrier b, int copy) { arrives(b, copy, step("arrive")); }
  void commit(Barrier b, int copy) {
    const int issue = step("commit");
    std::vector<int> after = products;
    after.push_back(issue);
    arrives(b, copy, graph.add({"committed arrival", after, {}}));
  }

  void load_q(int t) {
    arrives(Barrier::q_full, t, start("TMA Q", {writes({"Q", t, -1}, q_value())}));
  }
  void load_k(int stage, int j) { load_kv("K", stage, j); }
  void load_v(int stage, int j) { load_kv("V", stage, j); }
  void load_kv(const std::string& what, int stage, int j) {
    arrives(Barrier::kv_full, stage,
            start("TMA " + what, {writes({"KV", stage, -1}, what + at(w, j))}));
  }
  std::string q_value() const { return "Q" + at(w, 0); }

  void product(const std::string& accumulator, std::string text, std::vector<Access> accesses) {
    const int e = start(std::move(text), std::move(accesses));
    const auto same = last_product.find(accumulator);
    if (setting.gpu_in_order && !products.empty())
      graph.events[static_cast<std::size_t>(e)].after.push_back(products.back());
    else if (same != last_product.end())
      graph.events[static_cast<std::size_t>(e)].after.push_back(same->second);
    products.push_back(e);
    last_product[accumulator] = e;
  }
  void scores(int t, int stage) {
    const int j = scored[t]++;
    std::vector<Access> a;
    a.push_back(reads({"Q", t, -1}, q_value()));
    a.push_back(reads({"KV", stage, -1}, "K" + at(w, j)));
    for (int p = 0; p < kWarps; ++p)
      for (const std::string_view half : {"S low", "S high"})
        a.push_back(writes({half, t, p}, "S" + at(w, j)));
    product("S" + std::to_string(t), "S" + at(w, j), a);
  }
  void output(int t, int stage, bool accumulate) {
    const int j = added[t]++;
    std::vector<Access> a;
    a.push_back(reads({"KV", stage, -1}, "V" + at(w, j)));
    for (int p = 0; p < kWarps; ++p) {
      a.push_back(reads({"S high", t, p}, "P" + at(w, j)));
      if (accumulate) a.push_back(reads({"O", t, p}, "rescaled O" + at(w, j)));
      a.push_back(writes({"O", t, p}, "O" + at(w, j)));
    }
    product("O" + std::to_string(t), "P·V" + at(w, j), a);
  }

  void read_scores(int t, int j) {
    step("read S",
         {reads({"S low", t, warp}, "S" + at(w, j)), reads({"S high", t, warp}, "S" + at(w, j))});
  }
  void write_growth(int t) {
    step("note", {writes({"note", t, warp}, "growth" + at(w, growths[t]++))});
  }
  void read_growth(int t) {
    step("note", {reads({"note", t, warp}, "growth" + at(w, growths[t]++))});
  }
  void write_sums(int t) { step("note", {writes({"note", t, warp}, "sums" + at(w, 0))}); }
  void read_sums(int t) { step("note", {reads({"note", t, warp}, "sums" + at(w, 0))}); }
  void write_probabilities(int t, int j) {
    step("write P", {writes({"S high", t, warp}, "P" + at(w, j))});
  }
  void rescale(int t) {  // of the j that the growth just read belongs to
    const int j = growths[t] - 1;
    step("rescale O", {reads({"O", t, warp}, "O" + at(w, j - 1)),
                       writes({"O", t, warp}, "rescaled O" + at(w, j))});
  }
  void store(int t) { step("store O", {reads({"O", t, warp}, "O" + at(w, key_tiles() - 1))}); }
};

Graph record(const Setting& setting) {
  Graph graph;
  int actor = 0;
  const auto play = [&](const std::string& role, int warp, auto&& run) {
    Recorder r{graph, setting, role, actor++, warp};
    run(r);
    graph.last_of_role.push_back(r.last);
  };
  play("load", -1, [](Recorder& r) { forward::load(r); });
  play("multiply", -1, [&](Recorder& r) {
    if (setting.kernel_in_order) forward::multiply<true>(r);
    else forward::multiply<false>(r);
  });
  for (int t = 0; t < kTiles; ++t)
    for (int p = 0; p < kWarps; ++p)
      play("softmax", p, [&](Recorder& r) { forward::softmax(r, t); });
  for (int p = 0; p < kWarps; ++p) play("correct", p, [](Recorder& r) { forward::correct(r); });
  return graph;
}

/// Which events end before which others start.
class Order {
 public:
  /// Events in an order that respects all edges; shorter than the graph if they form a circle.
  explicit Order(const Graph& g) : before_(g.events.size()) {
    const std::size_t n = g.events.size(), words = (n + 63) / 64;
    std::vector<int> missing(n, 0);
    std::vector<std::vector<int>> next(n);
    for (std::size_t e = 0; e < n; ++e)
      for (const int a : g.events[e].after) {
        next[static_cast<std::size_t>(a)].push_back(static_cast<int>(e));
        ++missing[e];
      }
    for (std::size_t e = 0; e < n; ++e)
      if (missing[e] == 0) sorted_.push_back(static_cast<int>(e));
    for (std::size_t i = 0; i < sorted_.size(); ++i) {
      const auto e = static_cast<std::size_t>(sorted_[i]);
      before_[e].assign(words, 0);
      for (const int a : g.events[e].after) {
        const auto from = static_cast<std::size_t>(a);
        for (std::size_t k = 0; k < words; ++k) before_[e][k] |= before_[from][k];
        before_[e][from / 64] |= std::uint64_t{1} << from % 64;
      }
      for (const int later : next[e])
        if (--missing[static_cast<std::size_t>(later)] == 0) sorted_.push_back(later);
    }
  }
  bool complete() const { return sorted_.size() == before_.size(); }
  bool before(int a, int b) const {
    const auto e = static_cast<std::size_t>(a);
    return before_[static_cast<std::size_t>(b)][e / 64] >> e % 64 & 1;
  }

 private:
  std::vector<std::vector<std::uint64_t>> before_;
  std::vector<int> sorted_;
};

int arrivals_planned(const Name& barrier) {
  for (int i = 0; i < forward::kBarriers; ++i)
    if (barrier.what == forward::plan(static_cast<Barrier>(i)).name)
      return forward::plan(static_cast<Barrier>(i)).arrivals;
  return 0;
}

/// Arrivals of phase k: the k-th of everybody who comes to the barrier; empty: the phase never ends.
std::vector<int> phase_arrivals(const Graph& g, const Name& barrier, int phase) {
  const auto found = g.arrivals.find(barrier);
  std::vector<int> events;
  if (found == g.arrivals.end()) return events;
  for (const auto& [actor, all] : found->second)
    if (phase >= 0 && phase < static_cast<int>(all.size()))
      events.push_back(all[static_cast<std::size_t>(phase)]);
  if (static_cast<int>(events.size()) != arrivals_planned(barrier)) events.clear();
  return events;
}

void check_phases(const Graph& g, const Order& order, std::vector<std::string>& wrong) {
  for (const auto& [barrier, actors] : g.arrivals) {
    if (static_cast<int>(actors.size()) != arrivals_planned(barrier))
      wrong.push_back(barrier.text() + ": others arrive than planned");
    for (const auto& [actor, all] : actors)
      for (std::size_t k = 1; k < all.size(); ++k)
        for (const int earlier : phase_arrivals(g, barrier, static_cast<int>(k) - 1))
          if (!order.before(earlier, all[k]))
            wrong.push_back(barrier.text() + ": two arrivals of one actor may fall in a phase");
  }
  // A wait looks at a parity: it must not start before phase k - 1 has ended, nor still be looking
  // when phase k + 1 ends.
  for (const Waiting& wait : g.waits) {
    const Event& e = g.events[static_cast<std::size_t>(wait.event)];
    for (const int a : phase_arrivals(g, wait.barrier, wait.phase - 1))
      if (e.in_program_after < 0 ||
          (a != e.in_program_after && !order.before(a, e.in_program_after)))
        wrong.push_back(e.text + ": may see the phase before");
    const std::vector<int> next = phase_arrivals(g, wait.barrier, wait.phase + 1);
    if (!next.empty() &&
        std::none_of(next.begin(), next.end(), [&](int a) { return order.before(wait.event, a); }))
      wrong.push_back(e.text + ": may miss its phase");
  }
}

void check_data(const Graph& g, const Order& order, std::vector<std::string>& wrong) {
  struct Use {
    int event;
    const Access* access;
  };
  std::map<Name, std::vector<Use>> uses;
  for (std::size_t e = 0; e < g.events.size(); ++e)
    for (const Access& a : g.events[e].accesses) uses[a.data].push_back({static_cast<int>(e), &a});
  for (const auto& [data, all] : uses) {
    for (const Use& x : all)
      for (const Use& y : all)
        if (x.event < y.event && (x.access->write || y.access->write) &&
            !order.before(x.event, y.event) && !order.before(y.event, x.event))
          wrong.push_back("race on " + data.text() + ": " +
                          g.events[static_cast<std::size_t>(x.event)].text + " / " +
                          g.events[static_cast<std::size_t>(y.event)].text);
    for (const Use& read : all) {
      if (read.access->write) continue;
      const Use* newest = nullptr;
      for (const Use& x : all)
        if (x.access->write && order.before(x.event, read.event) &&
            (!newest || order.before(newest->event, x.event)))
          newest = &x;
      const std::string found = newest ? newest->access->value : "nothing";
      if (found != read.access->value)
        wrong.push_back(data.text() + ": " + read.access->value + " expected, " + found + " found");
    }
  }
}

}  // namespace

std::vector<std::string> faults(const Setting& setting) {
  Graph graph = record(setting);
  std::vector<std::string> wrong;
  for (const Waiting& wait : graph.waits) {
    if (wait.phase < 0) continue;
    const std::vector<int> ends = phase_arrivals(graph, wait.barrier, wait.phase);
    Event& e = graph.events[static_cast<std::size_t>(wait.event)];
    if (ends.empty()) wrong.push_back(e.text + ": never ends");
    e.after.insert(e.after.end(), ends.begin(), ends.end());
  }
  const int end = graph.add({"end of the block", graph.last_of_role, {}});
  const Order order(graph);
  if (!order.complete()) wrong.push_back("waits in a circle");
  if (!wrong.empty()) return wrong;

  check_phases(graph, order, wrong);
  check_data(graph, order, wrong);
  for (int e = 0; e < end; ++e)
    if (!order.before(e, end))
      wrong.push_back(graph.events[static_cast<std::size_t>(e)].text + ": after the end");
  return wrong;
}

}  // namespace kvroof::test
