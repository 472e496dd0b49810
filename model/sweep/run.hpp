// Evaluating a range of points on threads, with a safe point every few seconds.
#pragma once
#include <functional>
#include <optional>

#include "model/sweep/deployment.hpp"
#include "model/sweep/reduce.hpp"

namespace kvroof::sweep {

struct Job {
  Grid grid;
  Reduction how;
  /// The deployment of a number below grid.deployments(); its setup.point gives the workload that
  /// no axis varies. Nothing when it cannot exist: the LLM cannot be cut so, or the GPU lacks a
  /// unit. Called from several threads at once.
  std::function<std::optional<Deployment>(std::int64_t)> deployment;
};

/// How far a range has come; [begin, next) is in `kept`.
struct Progress {
  std::int64_t begin = 0, next = 0, end = 0;
  bool done() const { return next == end; }
};

struct Pace {
  int threads = 1;
  double seconds_between_stops = 2;
};

/// Goes on from progress.next to progress.end. At every stop `at_stop` sees a consistent state:
/// writing it down makes the run resumable there.
void run(const Job& job, Progress& progress, Kept& kept, const Pace& pace,
         const std::function<void(const Progress&, const Kept&)>& at_stop);

}  // namespace kvroof::sweep
