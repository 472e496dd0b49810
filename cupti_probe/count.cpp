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

FigureStats summary(std::vector<double> values) {
  if (values.empty()) return {};
  const kernels::Stats s = kernels::stats(std::move(values));
  return {s.median, s.min, s.max};
}

/// Median of three ranges of launch and flush, less that of a flush alone (some 300 KB of the
/// profiler's own). One range, because dirty lines also drain between ranges, where nobody counts.
double written_back(const kernels::Case& c, cudaStream_t stream) {
  Collector collector(plan_here(load_group("hbm")), Scope::whole, 1);
  const std::size_t metric = *metric_index(collector.plan().group(), "dram__bytes_write.sum");
  const auto written = [&](const std::function<void()>& work) {
    std::vector<double> bytes;
    for (int i = 0; i < 3; ++i) {
      kernels::flush_l2(stream);
      CUDA_CHECK(cudaStreamSynchronize(stream));
      bytes.push_back(collector.collect(work).front().metrics[metric]);
    }
    return *summary(std::move(bytes)).median;
  };
  const double with_kernel = written([&] {
    c.launch(stream);
    kernels::flush_l2(stream);
  });
  return std::max(0.0, with_kernel - written([&] { kernels::flush_l2(stream); }));
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

Counts count(const kernels::Case& c, const Group& group, const CountOptions& options) {
  const bool cold = options.l2 == kernels::L2::cold;
  const bool each = options.scope == Scope::each_kernel;
  const auto announced = static_cast<std::size_t>(c.kernels_per_launch);
  const auto launches = static_cast<std::size_t>(options.launches);
  const kernels::Stream stream;
  c.launch(stream);  // lazy loading, and the first flush allocates: neither is to be counted
  if (cold) kernels::flush_l2(stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));

  // each_kernel: all launches in one collection. whole: one collection a launch. Room for more
  // kernels than announced, so that they are found rather than dropped.
  const std::size_t bursts = cold ? launches : launches + 1;  // warm: the first is not counted
  std::optional<Collector> collector(std::in_place, plan_here(group), options.scope,
                                     each ? bursts * (4 * announced + 16) : 1);
  Counts out{.group = collector->plan().group(),
             .passes = collector->plan().passes(),
             .launches = options.launches};
  std::vector<std::vector<double>> by_figure(out.group.figures.size());
  const auto take = [&](std::span<const double> metrics) {
    const auto figures = figures_of(out.group, metrics, options.scope);
    for (std::size_t f = 0; f < figures.size(); ++f)
      if (figures[f]) by_figure[f].push_back(*figures[f]);
  };

  if (each) {
    const std::vector<Reading> readings = collector->collect([&] {
      for (std::size_t i = 0; i < bursts; ++i) {
        if (cold) kernels::flush_l2(stream);
        c.launch(stream);
      }
    });
    const std::size_t stride = readings.size() / bursts, flushes = cold ? 1 : 0;
    if (readings.size() % bursts != 0 || stride <= flushes)
      throw Broken(fmt::format("{}: {} launches gave {} kernels: a launch must always run the same",
                               c.name, bursts, readings.size()));
    out.kernels_per_launch = stride - flushes;
    for (std::size_t i = bursts - launches; i < bursts; ++i) {
      std::vector<std::vector<double>> kernels;
      for (std::size_t k = flushes; k < stride; ++k)
        kernels.push_back(readings[i * stride + k].metrics);
      take(combine(out.group, kernels));
      if (i + 1 < bursts) continue;
      for (const std::vector<double>& kernel : kernels)
        out.kernels.push_back(figures_of(out.group, kernel, options.scope));
    }
  } else {
    for (std::size_t i = 0; i < launches; ++i) {
      if (cold) kernels::flush_l2(stream);
      CUDA_CHECK(cudaStreamSynchronize(stream));
      take(collector->collect([&] { c.launch(stream); }).front().metrics);
    }
  }
  for (std::vector<double>& values : by_figure) out.figures.push_back(summary(std::move(values)));
  if (cold && options.write_back) {
    collector.reset();
    out.written_back = written_back(c, stream);
  }
  return out;
}

}  // namespace kvroof::probe
