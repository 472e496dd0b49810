#include "scenarios/cli/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "model/units.hpp"

namespace kvroof::cli {
namespace {

std::string count(double n) {
  return n >= 1e9   ? fmt::format("{:.2f} G", n / giga)
         : n >= 1e6 ? fmt::format("{:.1f} M", n / mega)
         : n >= 1e4 ? fmt::format("{:.0f} k", n / kilo)
                    : fmt::format("{:.0f}", n);
}

}  // namespace

ProgressLine::ProgressLine(std::string what)
    : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
  if (terminal_ && shown_) std::fputs("\r\033[K", stderr);
}

void ProgressLine::show(double done, double total, const char* unit) {
  const auto now = Clock::now();
  if (first_ < 0) first_ = done;
  const double wait = !shown_ ? 1 : terminal_ ? .25 : 10;
  if (std::chrono::duration<double>(now - last_).count() < wait) return;
  last_ = now, shown_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = (done - first_) / std::max(seconds, 1e-9);
  const double left = rate > 0 ? (total - done) / rate : 0;
  const std::string line = fmt::format("{}  {:3.0f} %  {} of {} {}  {} {}/s  {:.0f} s left", what_,
                                       total > 0 ? 100 * done / total : 0., count(done),
                                       count(total), unit, count(rate), unit, left);
  std::fputs((terminal_ ? "\r\033[K" + line : line + '\n').c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace kvroof::cli
