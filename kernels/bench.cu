#include "kernels/bench.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <thread>

#include "kernels/check.hpp"
#include "kernels/device.hpp"
#include "kernels/event.hpp"
#include "kernels/graph.hpp"

namespace kvroof::kernels {
namespace {

__global__ void empty_kernel() {}

/// Reads `n` 16-byte words; the sum is stored only if it has an impossible value, so nothing is
/// written and nothing can be optimised away.
__global__ void read_clean(const uint4* data, std::size_t n, unsigned* never) {
  unsigned sum = 0;
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < n;
       i += std::size_t{gridDim.x} * blockDim.x) {
    uint4 v;
    asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(data + i));
    sum |= v.x | v.y | v.z | v.w;
  }
  if (sum != 0) *never = sum;
}

struct Flush {
  std::size_t bytes;
  Buffer data, never{sizeof(unsigned)};

  Flush() : bytes((gpu().l2_bytes * 5 / 2 + 4095) / 4096 * 4096), data(bytes) {
    CUDA_CHECK(cudaMemset(data.as(), 0, bytes));
    for (int i = 0; i < 2; ++i) (*this)(nullptr);  // the zeros themselves leave L2
    CUDA_CHECK(cudaDeviceSynchronize());
  }
  void operator()(cudaStream_t stream) const {
    read_clean<<<gpu().num_sms * 4, 512, 0, stream>>>(data.as<uint4>(), bytes / sizeof(uint4),
                                                      never.as<unsigned>());
    CUDA_CHECK(cudaGetLastError());
  }
};

const Flush& flush() {
  static const Flush f;
  return f;
}

/// Samples of `run` between two events, each preceded by `before`.
std::vector<double> sample(int repeats, cudaStream_t stream, const Launch& before,
                           const Launch& run, double pause_seconds = 0) {
  const Event start, stop;
  std::vector<double> seconds;
  for (int r = 0; r < repeats; ++r) {
    if (pause_seconds > 0)
      std::this_thread::sleep_for(std::chrono::duration<double>(pause_seconds));
    if (before) before(stream);
    start.record(stream);
    run(stream);
    stop.record(stream);
    stop.wait();
    seconds.push_back(stop.seconds_since(start));
  }
  return seconds;
}

/// What a pair of events reads around an empty kernel behind a flush,
/// less that kernel's own period.
double event_overhead(cudaStream_t stream) {
  static const double overhead = [stream] {
    const Launch empty = [](cudaStream_t s) {
      empty_kernel<<<1, 32, 0, s>>>();
      CUDA_CHECK(cudaGetLastError());
    };
    sample(3, stream, flush_l2, empty);
    const double pair = stats(sample(50, stream, flush_l2, empty)).median;
    const double period =
        time_launches(empty, {.repeats = 10, .launches = 200, .submit = Submit::graph}).median;
    return std::max(0.0, pair - period);
  }();
  return overhead;
}

}  // namespace

Stats stats(std::vector<double> samples) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  const auto percentile = [&](double p) {
    const double position = p * static_cast<double>(samples.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const auto above = std::min(below + 1, samples.size() - 1);
    return samples[below] +
           (position - static_cast<double>(below)) * (samples[above] - samples[below]);
  };
  return {.repeats = static_cast<int>(samples.size()),
          .median = percentile(0.5),
          .p5 = percentile(0.05),
          .p95 = percentile(0.95),
          .min = samples.front(),
          .max = samples.back(),
          .mean = std::accumulate(samples.begin(), samples.end(), 0.0) /
                  static_cast<double>(samples.size())};
}

Stats rate(double quantity, const Stats& s) {
  const auto of = [quantity](double seconds) { return seconds > 0 ? quantity / seconds : 0; };
  return {.repeats = s.repeats,
          .median = of(s.median),
          .p5 = of(s.p95),
          .p95 = of(s.p5),
          .min = of(s.max),
          .max = of(s.min),
          .mean = of(s.mean)};
}

Stats time_rotating(const std::vector<Launch>& launches, const Timing& t) {
  const Stream stream;
  const auto launch_all = [&](int count, cudaStream_t s) {
    for (int i = 0; i < count; ++i) launches[static_cast<std::size_t>(i) % launches.size()](s);
  };
  const auto sets = static_cast<int>(launches.size());
  launch_all(std::max(t.warmup, sets), stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));

  if (t.l2 == L2::cold) {
    const double overhead = event_overhead(stream);
    std::vector<double> seconds = sample(t.repeats, stream, flush_l2, launches.front());
    for (double& s : seconds) s = std::max(0.0, s - overhead);
    return stats(std::move(seconds));
  }

  int count = t.launches;
  if (count == 0) {
    const Launch few = [&](cudaStream_t s) { launch_all(sets, s); };
    const double one = stats(sample(3, stream, nullptr, few)).median / sets;
    count = static_cast<int>(std::clamp(t.sample_seconds / std::max(one, 1e-7), 1.0, 2000.0));
  }
  count = (count + sets - 1) / sets * sets;  // every data set equally often
  std::vector<double> seconds;
  const auto ready = [&] {
    CUDA_CHECK(cudaStreamSynchronize(stream));
    if (t.before_samples) t.before_samples();
    CUDA_CHECK(cudaDeviceSynchronize());
  };
  if (t.submit == Submit::graph) {
    const Graph graph([&](cudaStream_t s) { launch_all(count, s); }, stream);
    graph(stream);
    ready();
    seconds = sample(
        t.repeats, stream, nullptr, [&](cudaStream_t s) { graph(s); }, t.pause_seconds);
  } else {
    ready();
    seconds = sample(
        t.repeats, stream, nullptr, [&](cudaStream_t s) { launch_all(count, s); }, t.pause_seconds);
  }
  for (double& s : seconds) s /= count;
  return stats(std::move(seconds));
}

Stats time_launches(const Launch& launch, const Timing& t) { return time_rotating({launch}, t); }

void flush_l2(cudaStream_t stream) { flush()(stream); }

}  // namespace kvroof::kernels
