#include "model/sweep/run.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <vector>

namespace kvroof::sweep {
namespace {

constexpr std::int64_t kChunk = 16384;  // points a thread takes at a time

Lanes& member(Points& p, Slot slot) {
  switch (slot) {
    case Slot::batch:
      return p.batch;
    case Slot::prompt:
      return p.prompt;
    case Slot::output:
      return p.output;
    case Slot::context:
      return p.context;
    default:
      return p.prefix_hit;
  }
}

/// One thread: the last deployment it used stays, since chunks come in order.
class Worker {
 public:
  explicit Worker(const Job& job) : job_(&job), row_(job.grid.row()) {
    inner_ = job.grid.points() / std::max<std::int64_t>(1, job.grid.deployments());
  }

  void evaluate(std::int64_t begin, std::int64_t end, Kept& kept) {
    while (begin < end) {
      const std::int64_t outer = begin / inner_, stop = std::min(end, (outer + 1) * inner_);
      if (outer != outer_) deployment_ = job_->deployment(outer), outer_ = outer;
      if (deployment_)
        while (begin < stop) begin = block(begin, stop, kept);
      else kept.add_impossible(begin, stop - begin);
      begin = stop;
    }
  }

 private:
  /// Blocks start at multiples of kLanes of a row whatever the range, so that a point is always
  /// computed in the same lane of the same block. Returns the first point not covered.
  std::int64_t block(std::int64_t point, std::int64_t stop, Kept& kept) {
    const std::int64_t in_row = point % row_, first = in_row / kLanes * kLanes;
    const std::int64_t end =
        std::min({stop, point - in_row + first + kLanes, point - in_row + row_});
    const std::vector<std::int64_t> digits = job_->grid.digits(point);
    const OperatingPoint& base = deployment_->setup().point;
    Points p{.batch = Lanes::Constant(base.batch),
             .prompt = Lanes::Constant(base.prompt),
             .output = Lanes::Constant(base.output),
             .context = Lanes::Constant(base.context),
             .prefix_hit = Lanes::Constant(base.prefix_hit)};
    for (std::size_t a = job_->grid.num_outer; a < digits.size(); ++a) {
      const GridAxis& axis = job_->grid.axes[a];
      Lanes& lanes = member(p, axis.slot);
      if (a + 1 < digits.size()) {
        lanes.setConstant(axis.numbers[static_cast<std::size_t>(digits[a])]);
      } else {  // past the end of the row its last value fills the lanes
        for (std::int64_t i = 0; i < kLanes; ++i)
          lanes[i] = axis.numbers[static_cast<std::size_t>(std::min(first + i, row_ - 1))];
      }
    }
    // A lock-step point decodes where its prompts end.
    if (base.lock_step) p.prompt = p.context;
    const int lane = static_cast<int>(in_row - first);
    kept.add(deployment_->evaluate(p), lane, lane + static_cast<int>(end - point), point);
    return end;
  }

  const Job* job_;
  std::int64_t row_, inner_ = 1, outer_ = -1;
  std::optional<Deployment> deployment_;
};

}  // namespace

void run(const Job& job, Progress& progress, Kept& kept, const Pace& pace,
         const std::function<void(const Progress&, const Kept&)>& at_stop) {
  using Clock = std::chrono::steady_clock;
  const auto threads = static_cast<std::size_t>(std::max(1, pace.threads));
  std::vector<Worker> workers(threads, Worker(job));
  std::int64_t chunks = static_cast<std::int64_t>(threads);
  while (!progress.done()) {
    const std::int64_t end = std::min(progress.end, progress.next + chunks * kChunk);
    const auto start = Clock::now();
    std::vector<Kept> parts(threads, Kept(job.grid, job.how));
    std::vector<std::exception_ptr> failed(threads);
    std::atomic<std::int64_t> cursor{progress.next};
    {
      std::vector<std::jthread> pool;
      for (std::size_t t = 0; t < threads; ++t)
        pool.emplace_back([&, t] {
          try {
            for (std::int64_t at; (at = cursor.fetch_add(kChunk)) < end;)
              workers[t].evaluate(at, std::min(at + kChunk, end), parts[t]);
          } catch (...) {
            failed[t] = std::current_exception();
            cursor = end;
          }
        });
    }
    for (const std::exception_ptr& e : failed)
      if (e) std::rethrow_exception(e);
    for (const Kept& part : parts) kept.merge(part);
    progress.next = end;
    at_stop(progress, kept);
    // The next stretch lasts about as long as a stop may be away.
    const double took = std::chrono::duration<double>(Clock::now() - start).count();
    const double scale = std::clamp(pace.seconds_between_stops / std::max(took, 1e-6), .25, 8.);
    chunks = std::max(static_cast<std::int64_t>(threads),
                      static_cast<std::int64_t>(static_cast<double>(chunks) * scale));
  }
}

}  // namespace kvroof::sweep
