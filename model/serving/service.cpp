#include "model/serving/service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace kvroof::serving {

Summary summarise(std::vector<double> v) {
  if (v.empty()) return {};
  Summary s;
  for (const double x : v) s.mean += x;
  s.mean /= static_cast<double>(v.size());
  std::sort(v.begin(), v.end());
  const auto rank = [&](double p) {
    return v[static_cast<std::size_t>(std::ceil(p * static_cast<double>(v.size()))) - 1];
  };
  s.p50 = rank(.5), s.p90 = rank(.9), s.p95 = rank(.95), s.p99 = rank(.99), s.max = v.back();
  return s;
}

std::string_view name(Verdict v) {
  constexpr std::string_view names[] = {"stable", "backlogged", "overloaded"};
  return names[static_cast<int>(v)];
}

Summary summary_of(const Gaps& g) {
  return {.mean = g.mean(),
          .p50 = g.percentile(.5),
          .p90 = g.percentile(.9),
          .p95 = g.percentile(.95),
          .p99 = g.percentile(.99),
          .max = g.most()};
}

void finish(Service& s) {
  std::vector<double> ttft, tpot, e2e;
  double first = std::numeric_limits<double>::infinity(), last = 0, output = 0, total = 0;
  for (const Record& r : s.records) {
    ttft.push_back(r.first_token - r.arrival);
    e2e.push_back(r.finish - r.arrival);
    if (r.output > 1) tpot.push_back((r.finish - r.first_token) / (r.output - 1));
    first = std::min(first, r.arrival), last = std::max(last, r.finish);
    output += r.output, total += r.output + static_cast<double>(r.prompt);
  }
  s.ttft = summarise(std::move(ttft)), s.tpot = summarise(std::move(tpot));
  s.e2e = summarise(std::move(e2e));
  s.duration = last - first;
  s.request_rate = static_cast<double>(s.records.size()) / s.duration;
  s.output_rate = output / s.duration, s.total_rate = total / s.duration;
  const Counters& c = s.counters;
  s.mean_batch = c.decode_steps > 0 ? c.decode_slots / c.decode_steps : 0;
  s.useful_share = c.block_seconds > 0 ? c.token_seconds / c.block_seconds : 0;
}

std::vector<Record> records_of(const Trace& trace) {
  std::vector<Record> records;
  records.reserve(trace.requests.size());
  for (const Request& r : trace.requests)
    records.push_back({.arrival = r.arrival.value, .prompt = r.prompt, .output = r.output});
  return records;
}

double goodput(const Service& s, double ttft, double tpot) {
  double good = 0;
  for (const Record& r : s.records) {
    const double per_token = r.output > 1 ? (r.finish - r.first_token) / (r.output - 1) : 0;
    good += r.first_token - r.arrival <= ttft && per_token <= tpot;
  }
  return good / s.duration;
}

std::string chrome_trace(const Service& s) {
  std::string out = "{\"traceEvents\":[";
  const auto span = [&](const char* name, std::size_t row, double from, double to) {
    fmt::format_to(
        std::back_inserter(out),
        "{}\n{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":0,\"tid\":{},\"ts\":{:.3f},\"dur\":{:.3f}}}",
        out.back() == '[' ? "" : ",", name, row, from / micro, (to - from) / micro);
  };
  for (std::size_t i = 0; i < s.records.size(); ++i) {
    const Record& r = s.records[i];
    span("to first token", i, r.arrival, r.first_token);
    if (r.output > 1) span("decode", i, r.first_token, r.finish);
  }
  for (const Sample& x : s.timeline)
    fmt::format_to(
        std::back_inserter(out),
        "{}\n{{\"name\":\"load\",\"ph\":\"C\",\"pid\":0,\"ts\":{:.3f},\"args\":{{\"running\":{},"
        "\"waiting\":{},\"blocks\":{}}}}}",
        out.back() == '[' ? "" : ",", x.time / micro, x.running, x.waiting, x.blocks);
  return out + "\n]}\n";
}

}  // namespace kvroof::serving
