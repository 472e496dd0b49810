// A step (or a simulated service) as trace events: opens in Perfetto and chrome://tracing.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "model/units.hpp"

namespace kvroof::reports {

struct ChromeTrace {
  struct Event {  // a slice: an op, a launch gap, a prefill
    std::string name;
    int gpu = 0;         // a process row
    std::string stream;  // a thread row within it: "compute", "NVLink"
    Seconds start, duration;
    std::vector<std::pair<std::string, std::string>> args;  // "bound" -> "HBM", "HBM bytes" -> "…"
  };
  struct Counter {  // a curve: KV blocks in use, running requests
    std::string name;
    int gpu = 0;
    Seconds at;
    double value = 0;
  };
  std::string title;
  std::vector<std::string> gpus;  // names of the process rows
  std::vector<Event> events;
  std::vector<Counter> counters;
};

/// JSON object format of the Trace Event specification; ts and dur in microseconds.
std::string chrome_trace(const ChromeTrace& t);

}  // namespace kvroof::reports
