#include "reports/chrome_trace.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "reports/text.hpp"

namespace kvroof::reports {
namespace {

/// Nanoseconds are the finest that matters; more digits only make the file large.
std::string microseconds(Seconds t) { return fmt::format("{:.3f}", t.value / micro); }

}  // namespace

std::string chrome_trace(const ChromeTrace& t) {
  std::string out =
      fmt::format("{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"title\":{}}},\"traceEvents\":[",
                  json_string(t.title));
  bool first = true;
  const auto event = [&](const std::string& body) {
    out += first ? "\n" : ",\n";
    out += body;
    first = false;
  };
  for (std::size_t i = 0; i < t.gpus.size(); ++i)
    event(fmt::format(
        "{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{},\"args\":{{\"name\":{}}}}}", i,
        json_string(t.gpus[i])));
  std::vector<std::pair<int, std::string>> rows;  // (gpu, stream) -> thread id, by first appearance
  const auto thread = [&](const ChromeTrace::Event& e) {
    const std::pair<int, std::string> row{e.gpu, e.stream};
    const auto at = std::find(rows.begin(), rows.end(), row);
    const auto id = at - rows.begin() + 1;
    if (at == rows.end()) {
      rows.push_back(row);
      event(
          fmt::format("{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{},\"tid\":{},\"args\":{{"
                      "\"name\":{}}}}}",
                      e.gpu, id, json_string(e.stream)));
    }
    return id;
  };
  for (const auto& e : t.events) {
    const auto tid = thread(e);
    std::string args;
    for (const auto& [name, value] : e.args)
      args +=
          fmt::format("{}{}:{}", args.empty() ? "" : ",", json_string(name), json_string(value));
    event(fmt::format(
        "{{\"ph\":\"X\",\"name\":{},\"pid\":{},\"tid\":{},\"ts\":{},\"dur\":{},\"args\":{{{}}}}}",
        json_string(e.name), e.gpu, tid, microseconds(e.start), microseconds(e.duration), args));
  }
  for (const auto& c : t.counters)
    event(fmt::format("{{\"ph\":\"C\",\"name\":{},\"pid\":{},\"ts\":{},\"args\":{{\"value\":{}}}}}",
                      json_string(c.name), c.gpu, microseconds(c.at), json_number(c.value)));
  return out + "\n]}\n";
}

}  // namespace kvroof::reports
