#include "cupti_probe/exclusive.hpp"

#include <fmt/core.h>

#include <atomic>
#include <utility>

#include "cupti_probe/error.hpp"

namespace kvroof::probe {
namespace {
constexpr int kFree = -1;
std::atomic<int> holder{kFree};
std::atomic<bool> ever{false};

const char* name(int instrument) {
  return instrument == static_cast<int>(Instrument::counters) ? "counters" : "tracing";
}
}  // namespace

Claim::Claim(Instrument instrument) {
  int expected = kFree;
  if (!holder.compare_exchange_strong(expected, static_cast<int>(instrument)))
    throw Unavailable(fmt::format("{} cannot start: {} are in use in this process",
                                  name(static_cast<int>(instrument)), name(expected)),
                      "finish one measurement before the next", false);
  ever = true;
}

Claim::~Claim() {
  if (held_) holder = kFree;
}

Claim::Claim(Claim&& other) noexcept : held_(std::exchange(other.held_, false)) {}

bool latency_is_clean() { return !ever; }

}  // namespace kvroof::probe
