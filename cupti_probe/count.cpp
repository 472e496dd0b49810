#include "cupti_probe/count.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "cupti_probe/error.hpp"
#include "kernels/check.hpp"
#include "kernels/device.hpp"

namespace kvroof::probe {
namespace {

enum class Rule { sum, mean, first };
Rule rule_of(std::string_view metric) {
  if (metric.ends_with(".peak_sustained")) return Rule::first;
  if (metric.ends_with(".per_second") || metric.find(".pct_of_") != std::string_view::npos)
    return Rule::mean;
  return Rule::sum;
}

std::optional<std::size_t> metric_index(const ChipGroup& group, std::string_view name) {
  const auto found = std::find(group.metrics.begin(), group.metrics.end(), name);
  if (found == group.metrics.end()) return std::nullopt;
  return static_cast<std::size_t>(found - group.metrics.begin());
}

std::vector<std::optional<double>> figures_of(const ChipGroup& group,
                                              std::span<const double> metrics, Scope scope) {
  std::vector<std::optional<double>> out;
  for (const FigureDef& figure : group.figures)
    out.push_back(scope == Scope::whole && figure.needs_time ? std::nullopt
                                                             : evaluate(figure, metrics));
  return out;
}

constexpr std::size_t kWriteBackRepeats = 3;
// What a flush alone may write: some 300 KB are the profiler's own.
constexpr double kQuiet = 2 * 1024 * 1024;
constexpr int kQuietTries = 20;

FigureStats summary(std::vector<double> values) {
  if (values.empty()) return {};
  const kernels::Stats s = kernels::stats(std::move(values));
  return {s.median, s.min, s.max};
}

/// Lazy loading, and the first flush allocates: neither is to be counted.
void warm_up(const kernels::Case& c, cudaStream_t stream) {
  c.launch(stream);
  kernels::flush_l2(stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));
}

}  // namespace

std::vector<double> combine(const ChipGroup& group, std::span<const std::vector<double>> kernels) {
  const auto time = metric_index(group, "gpu__time_duration.sum");
  std::vector<double> out(group.metrics.size());
  for (std::size_t m = 0; m < out.size(); ++m) {
    const Rule rule = rule_of(group.metrics[m]);
    double sum = 0, weights = 0;
    for (const std::vector<double>& kernel : kernels) {
      const double weight = rule == Rule::mean && time ? kernel[*time] : 1;
      sum += weight * kernel[m];
      weights += weight;
    }
    out[m] = rule == Rule::first ? kernels.front()[m] : rule == Rule::sum ? sum : sum / weights;
  }
  return out;
}

std::optional<double> Counts::operator[](std::string_view name) const {
  const auto index = figure_index(group, name);
  return index ? figures[*index].median : std::nullopt;
}

Plan plan_here(const Group& group) {
  return Plan::make(on_chip(group, target().chip), target().availability);
}

Counter::Counter(const Group& group, const CountOptions& options, int most_kernels)
    : options_(options),
      // Cold: one launch a burst. Warm: the first is not counted.
      bursts_(static_cast<std::size_t>(options.launches) +
              (options.l2 == kernels::L2::cold ? 0 : 1)),
      // each_kernel: all launches in one collection, with room for more kernels than announced, so
      // that they are found rather than dropped. whole: one collection a launch.
      collector_(plan_here(group), options.scope,
                 options.scope == Scope::each_kernel
                     ? bursts_ * (4 * static_cast<std::size_t>(most_kernels) + 16)
                     : 1) {}

Counts Counter::operator()(const kernels::Case& c) {
  const bool cold = options_.l2 == kernels::L2::cold;
  const auto launches = static_cast<std::size_t>(options_.launches);
  warm_up(c, stream_);

  Counts out{.group = collector_.plan().group(),
             .passes = collector_.plan().passes(),
             .launches = options_.launches};
  std::vector<std::vector<double>> by_figure(out.group.figures.size());
  const auto take = [&](std::span<const double> metrics) {
    const auto figures = figures_of(out.group, metrics, options_.scope);
    for (std::size_t f = 0; f < figures.size(); ++f)
      if (figures[f]) by_figure[f].push_back(*figures[f]);
  };

  if (options_.scope == Scope::each_kernel) {
    const std::vector<Reading> readings = collector_.collect([&] {
      for (std::size_t i = 0; i < bursts_; ++i) {
        if (cold) kernels::flush_l2(stream_);
        c.launch(stream_);
      }
    });
    const std::size_t stride = readings.size() / bursts_, flushes = cold ? 1 : 0;
    if (readings.size() % bursts_ != 0 || stride <= flushes)
      throw Broken(fmt::format("{}: {} launches gave {} kernels: a launch must always run the same",
                               c.name, bursts_, readings.size()));
    out.kernels_per_launch = stride - flushes;
    for (std::size_t i = bursts_ - launches; i < bursts_; ++i) {
      std::vector<std::vector<double>> kernels;
      for (std::size_t k = flushes; k < stride; ++k)
        kernels.push_back(readings[i * stride + k].metrics);
      take(combine(out.group, kernels));
      if (i + 1 < bursts_) continue;
      for (const std::vector<double>& kernel : kernels)
        out.kernels.push_back(figures_of(out.group, kernel, options_.scope));
    }
  } else {
    for (std::size_t i = 0; i < launches; ++i) {
      if (cold) kernels::flush_l2(stream_);
      CUDA_CHECK(cudaStreamSynchronize(stream_));
      take(collector_.collect([&] { c.launch(stream_); }).front().metrics);
    }
  }
  for (std::vector<double>& values : by_figure) out.figures.push_back(summary(std::move(values)));
  return out;
}

WriteBack::WriteBack()
    : collector_(plan_here(load_group("hbm")), Scope::whole, 2 * kWriteBackRepeats),
      metric_(*metric_index(collector_.plan().group(), "dram__bytes_write.sum")) {}

double WriteBack::operator()(const kernels::Case& c) {
  warm_up(c, stream_);
  // Launch and flush in one range, because dirty lines also drain between ranges, where nobody
  // counts; before each a flush alone, which shows what others write meanwhile. The driver clears
  // memory that was freed, on an H200 at 425 GB/s beside the kernels: then all is counted again.
  const auto flush = [&] { kernels::flush_l2(stream_); };
  const auto launch_and_flush = [&] { c.launch(stream_), flush(); };
  std::vector<std::function<void()>> ranges;
  for (std::size_t i = 0; i < kWriteBackRepeats; ++i)
    ranges.insert(ranges.end(), {flush, launch_and_flush});
  const auto clean = [&] {
    flush();
    CUDA_CHECK(cudaStreamSynchronize(stream_));
  };
  double written = 0;
  for (int i = 0; i < kQuietTries; ++i) {
    const std::vector<Reading> readings = collector_.collect(ranges, clean);
    std::vector<double> with_kernel, alone;
    for (std::size_t r = 0; r < readings.size(); ++r)
      (r % 2 == 0 ? alone : with_kernel).push_back(readings[r].metrics[metric_]);
    const FigureStats others = summary(std::move(alone));
    written = std::max(0.0, *summary(std::move(with_kernel)).median - *others.median);
    if (*others.max <= kQuiet) break;
  }
  return written;
}

Counts count(const kernels::Case& c, const Group& group, const CountOptions& options) {
  Counts counts = Counter(group, options, c.kernels_per_launch)(c);
  if (options.l2 == kernels::L2::cold && options.write_back) counts.written_back = WriteBack()(c);
  return counts;
}

}  // namespace kvroof::probe
