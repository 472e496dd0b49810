#include "kernels/ceilings/steady.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <thread>

#include "kernels/ceilings/loads.hpp"
#include "kernels/check.hpp"
#include "kernels/event.hpp"

namespace kvroof::kernels {
namespace {

constexpr double kBatchSeconds = 3e-3;  // launches between two marks
constexpr double kRest = 0.08;          // before the work
constexpr int kDepth = 4;               // batches queued ahead: the host is never the limit

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
void sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

/// A case on its stream: batches of launches with a mark behind each, and when the host saw them.
struct Lane {
  const Case& work;
  Stream stream;
  Event start, stop;  // of a first launch
  std::array<Event, kDepth> marks;
  int batch = 1;
  std::size_t submitted = 0;
  std::vector<double> seen;  // seconds since the start of work

  explicit Lane(const Case& c) : work(c) {}
  void submit() {
    for (int i = 0; i < batch; ++i) work.launch(stream);
    marks[submitted++ % kDepth].record(stream);
  }
  /// Notes the batches that have ended and keeps the queue full.
  void poll(double since) {
    while (seen.size() < submitted) {
      const cudaError_t state = cudaEventQuery(marks[seen.size() % kDepth]);
      if (state == cudaErrorNotReady) break;
      CUDA_CHECK(state);
      seen.push_back(now() - since);
    }
    while (submitted - seen.size() < kDepth) submit();
  }
  double seconds_of_batch(std::size_t i) const { return seen[i] - seen[i - 1]; }
  /// Seconds of a launch among those that ended in [from, to].
  double seconds_between(double from, double to) const {
    const auto first = std::lower_bound(seen.begin(), seen.end(), from),
               last = std::upper_bound(first, seen.end(), to);
    return last - first < 2 ? 0
                            : (last[-1] - *first) / (static_cast<double>(last - first - 1) * batch);
  }
};

/// How many launches make a batch; the first one loads code.
void size_batch(Lane& lane) {
  for (int i = 0; i < 2; ++i) {
    lane.start.record(lane.stream);
    lane.work.launch(lane.stream);
    lane.stop.record(lane.stream);
    lane.stop.wait();
  }
  const double seconds = lane.stop.seconds_since(lane.start);
  lane.batch = std::max(1, static_cast<int>(kBatchSeconds / seconds));
}

}  // namespace

SteadyRun run_steady(std::span<const Case> cases, const SteadyTiming& t) {
  const auto call = [](const std::function<void()>& f) {
    if (f) f();
  };
  std::vector<std::unique_ptr<Lane>> lanes;
  for (const Case& c : cases) lanes.push_back(std::make_unique<Lane>(c));
  for (const auto& lane : lanes) size_batch(*lane);
  sleep(kRest);

  const double since = now();
  const auto work_until = [&](double end) {
    if (lanes.empty()) sleep(since + end - now());
    while (now() - since < end)
      for (auto& lane : lanes) lane->poll(since);
  };
  work_until(t.lead);
  call(t.begin);
  const double from = now() - since;
  work_until(from + t.window);
  const double to = now() - since;
  call(t.end);
  CUDA_CHECK(cudaDeviceSynchronize());

  SteadyRun run;
  for (const auto& lane : lanes) run.seconds.push_back(lane->seconds_between(from, to));
  if (!lanes.empty()) {
    const Lane& first = *lanes.front();
    for (std::size_t i = 1; i < first.seen.size(); ++i) {
      if (first.seconds_of_batch(i) < 0.97 * run.seconds.front() * first.batch) continue;
      run.settled = first.seen[i - 1];
      break;
    }
  }
  return run;
}

std::vector<PowerLoad> power_loads() {
  const auto tensor = [](int type, double share) {
    return wgmma_load({{"type", type}, {"sms", std::round(share * gpu().num_sms)}});
  };
  const auto hbm = [] {
    return gpu().major < 9
               ? read_load({{"bulk", 0}, {"mib", 4096}})
               : read_load({{"bulk", 1}, {"tile_kib", 8}, {"stages", 8}, {"mib", 4096}});
  };
  const auto l2 = [] {
    return read_load(
        {{"bulk", 1}, {"tile_kib", 8}, {"stages", 8}, {"mib", 16}, {"total_mib", 8192}});
  };
  using Loads = std::vector<Load>;
  std::vector<PowerLoad> all{{"idle", {}},
                             {"hbm read", [=] { return Loads{hbm()}; }},
                             {"hbm write",
                              [] {
                                return Loads{write_load({{"mib", 4096}})};
                              }},
                             {"exponentials", [] { return Loads{ex2_load({})}; }},
                             {"fp32", [] { return Loads{fma_load({})}; }},
                             {"shared memory", [] { return Loads{smem_load({})}; }},
                             {"mma.sync bf16", [] {
                                return Loads{mma_sync_load({{"type", 0}, {"iterations", 4000}})};
                              }}};
  if (!gpu().is_hopper()) return all;
  all.push_back({"l2 read", [=] { return Loads{l2()}; }});
  for (const double share : {0.25, 0.5, 0.75, 1.0})
    all.push_back({"bf16 on " + std::to_string(static_cast<int>(100 * share)) + " % of the SMs",
                   [=] { return Loads{tensor(0, share)}; }});
  const auto add = [&](const char* name, const std::function<Loads()>& make) {
    all.push_back({name, make});
  };
  add("fp16", [=] { return Loads{tensor(1, 1)}; });
  const auto aside = [&](const char* name, const std::function<Loads()>& make) {
    add(name, make);
    all.back().aside = true;
  };
  aside("fp8 on 50 % of the SMs", [=] { return Loads{tensor(3, 0.5)}; });
  aside("fp8", [=] { return Loads{tensor(3, 1)}; });
  aside("bf16 zeros", [] { return Loads{wgmma_load({{"type", 0}, {"zeros", 1}})}; });
  add("bf16 + hbm read", [=] { return Loads{tensor(0, 1), hbm()}; });
  add("bf16 + l2 read", [=] { return Loads{tensor(0, 1), l2()}; });
  add("bf16 on 50 % + hbm read", [=] { return Loads{tensor(0, 0.5), hbm()}; });
  add("bf16 on 50 % + l2 read", [=] { return Loads{tensor(0, 0.5), l2()}; });
  add("bf16 + exponentials", [=] { return Loads{tensor(0, 1), ex2_load({})}; });
  add("hbm read + exponentials", [=] { return Loads{hbm(), ex2_load({})}; });
  return all;
}

}  // namespace kvroof::kernels
