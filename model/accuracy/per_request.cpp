// LLMServingSim's vLLM runs: arrival, TTFT, TPOT and end-to-end time of every request. The run is
// replayed from the rows' own arrivals and lengths; single requests and totals are compared, and
// the means and 99th percentiles of the run stand beside them as rows of their own.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "model/accuracy/answers.hpp"
#include "model/accuracy/published.hpp"
#include "model/accuracy/service_run.hpp"

namespace kvroof::accuracy {
namespace {

bool is_total(const Measurement& m) { return !m.words.at("note").starts_with("bench-"); }

std::vector<Measurement> summary_rows(const std::vector<Read>& rows) {
  std::map<std::string, std::vector<double>> values;
  std::map<std::string, Measurement> sample;
  for (const Read& r : rows) {
    const auto* m = std::get_if<Measurement>(&r);
    if (!m || is_total(*m)) continue;
    const std::string key = m->configuration + "#" + m->metric;
    values[key].push_back(m->value);
    sample.emplace(key, *m);
  }
  std::vector<Measurement> out;
  for (auto& [key, v] : values) {
    const serving::Summary s = serving::summarise(v);
    Measurement m = sample.at(key);
    m.words["note"] = "summary of the run's requests";
    const std::string metric = m.metric.substr(0, m.metric.find('_'));
    m.metric = metric + "_mean", m.value = s.mean;
    out.push_back(m);
    m.metric = metric + "_p99", m.value = s.p99;
    out.push_back(m);
  }
  return out;
}

std::vector<Read> read(const Csv& csv) {
  std::vector<Read> out = read_published(csv, [](Measurement& m) -> std::string {
    const std::string& note = m.words["note"];
    m.engine = "vLLM";
    m.mode = Mode::open_loop;
    m.more["max_num_seqs"] = number_after(m.words["batch"], "max_num_seqs", 0);
    m.configuration = fmt::format("{}|{}", deployment(m), m.words["batch"]);
    if (!note.starts_with("bench-")) return {};
    m.more["index"] = number_after(note, "bench-", -1);
    m.more["arrival"] = number_after(note, "arrival_s=", -1);
    m.more["max_tokens"] = number_after(note, "max_num_batched_tokens=", 0);
    if (m.more["arrival"] < 0) return "no arrival time";
    if (!(m.isl >= 1 && m.osl >= 1)) return "no lengths";
    m.metric += "_of_request";
    return {};
  });
  for (Measurement& m : summary_rows(out)) out.emplace_back(std::move(m));
  return out;
}

/// A run's requests by index, and where each stands in the trace.
struct Replay {
  std::map<int, std::size_t> place;
  serving::Service service;
};

Replay replay(const Setup& given, std::span<const Measurement> rows, const std::string& run) {
  std::map<double, std::pair<int, serving::Request>> by_arrival;
  Setup s = given;
  std::map<int, const Measurement*> seen;
  for (const Measurement& m : rows)
    if (m.configuration == run && m.more.contains("arrival"))
      seen.emplace(static_cast<int>(m.more.at("index")), &m);
  if (seen.empty()) throw std::runtime_error("no requests of this run in the file");
  std::vector<std::pair<int, const Measurement*>> order(seen.begin(), seen.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a.second->more.at("arrival") < b.second->more.at("arrival");
  });
  serving::Trace trace;
  Replay out;
  for (const auto& [index, m] : order) {
    out.place[index] = trace.requests.size();
    trace.requests.push_back({.arrival = Seconds{m->more.at("arrival")},
                              .prompt = static_cast<std::int32_t>(m->isl),
                              .output = static_cast<std::int32_t>(m->osl)});
    if (m->more.at("max_num_seqs") >= 1)
      s.policy.max_num_seqs = static_cast<int>(m->more.at("max_num_seqs"));
    if (m->more.at("max_tokens") >= 1)
      s.policy.max_num_batched_tokens = static_cast<int>(m->more.at("max_tokens"));
  }
  s.policy.gpu_memory_utilization = 0.9;  // vLLM's default until 0.19
  out.service = run_trace(s, trace, {});
  return out;
}

std::vector<Answer> predict(Context& context, std::span<const Measurement> rows) {
  Once<Replay> runs;
  return answer_each(rows, [&](Measurement m) {
    // The second run has two GPUs with tp 1 and experts over both: attention replicas.
    if (m.num_gpus > m.pool.tp * m.pool.pp) m.pool.dp = m.num_gpus / (m.pool.tp * m.pool.pp);
    const Setup s = setup_of(context, m);
    const Replay& r = runs(m.configuration, [&] { return replay(s, rows, m.configuration); });
    if (!m.metric.ends_with("_of_request")) return service_metric(r.service, m);
    const auto at = r.place.find(static_cast<int>(m.more.at("index")));
    if (at == r.place.end()) throw std::runtime_error("request not replayed");
    const serving::Record& q = r.service.records[at->second];
    if (m.metric.starts_with("ttft")) return q.first_token - q.arrival;
    if (m.metric.starts_with("e2e")) return q.finish - q.arrival;
    if (q.output < 2) throw std::runtime_error("no time per output token of a single token");
    return (q.finish - q.first_token) / (q.output - 1);
  });
}

}  // namespace

FileFormat per_request_format() {
  return {"vLLM runs request by request",
          [](const Csv& csv) { return is_published(csv, "LLMServingSim"); }, read, predict};
}

}  // namespace kvroof::accuracy
