// One line on stderr while something takes long: rewritten on a terminal, else now and then anew.
#pragma once
#include <chrono>
#include <string>

namespace kvroof::cli {

class ProgressLine {
 public:
  /// Silent for the first second, so that short runs print nothing.
  explicit ProgressLine(std::string what);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// `unit` names what is counted: "points", "requests".
  void show(double done, double total, const char* unit);

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  Clock::time_point start_ = Clock::now(), last_ = start_;
  double first_ = -1;  // done at the first call: a resumed run does not count what was there
  bool terminal_, shown_ = false;
};

}  // namespace kvroof::cli
