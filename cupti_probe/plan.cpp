#include "cupti_probe/plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <string>

#include "cupti_probe/error.hpp"

namespace kvroof::probe {
namespace {

/// Asks about a name without touching the configuration: base metric, then its rollup.
bool chip_has(CUpti_Profiler_Host_Object* host, const std::string& metric) {
  const std::size_t dot = metric.find('.');
  const std::string base = metric.substr(0, dot);
  CUPTI_PARAMS(CUpti_Profiler_Host_GetMetricProperties_Params, properties);
  properties.pHostObject = host;
  properties.pMetricName = base.c_str();
  if (cupti().cuptiProfilerHostGetMetricProperties(&properties) != CUPTI_SUCCESS) return false;
  CUPTI_PARAMS(CUpti_Profiler_Host_GetSubMetrics_Params, rollups);
  rollups.pHostObject = host;
  rollups.pMetricName = base.c_str();
  rollups.metricType = properties.metricType;
  if (cupti().cuptiProfilerHostGetSubMetrics(&rollups) != CUPTI_SUCCESS) return false;
  return std::any_of(rollups.ppSubMetrics, rollups.ppSubMetrics + rollups.numOfSubmetrics,
                     [&](const char* rollup) { return metric.substr(dot) == rollup; });
}

}  // namespace

void Plan::Deinitialize::operator()(CUpti_Profiler_Host_Object* host) const {
  CUPTI_PARAMS(CUpti_Profiler_Host_Deinitialize_Params, params);
  params.pHostObject = host;
  cupti().cuptiProfilerHostDeinitialize(&params);
}

Plan Plan::make(ChipGroup group, std::span<const std::uint8_t> availability) {
  Plan plan;
  plan.group_ = std::move(group);
  plan.availability_.assign(availability.begin(), availability.end());
  const ChipGroup& g = plan.group_;

  CUPTI_PARAMS(CUpti_Profiler_Host_Initialize_Params, init);
  init.profilerType = CUPTI_PROFILER_TYPE_RANGE_PROFILER;
  init.pChipName = g.chip.c_str();
  init.pCounterAvailabilityImage = plan.availability_.empty() ? nullptr : plan.availability_.data();
  CUPTI_CHECK(cuptiProfilerHostInitialize, &init);
  plan.host_.reset(init.pHostObject);

  std::string refused;
  for (std::size_t i = 0; i < g.metrics.size(); ++i)
    if (!chip_has(plan.host_.get(), g.metrics[i]))
      refused +=
          fmt::format("{}{}:{}:{}: expected a metric of {}, got '{}'", refused.empty() ? "" : "\n",
                      g.file, g.places[i].line, g.places[i].column, g.chip, g.metrics[i]);
  if (!refused.empty()) throw UserError(refused);

  std::vector<const char*> names = plan.names();
  CUPTI_PARAMS(CUpti_Profiler_Host_ConfigAddMetrics_Params, add);
  add.pHostObject = plan.host_.get();
  add.ppMetricNames = names.data();
  add.numMetrics = names.size();
  CUPTI_CHECK(cuptiProfilerHostConfigAddMetrics, &add);

  CUPTI_PARAMS(CUpti_Profiler_Host_GetConfigImageSize_Params, size);
  size.pHostObject = plan.host_.get();
  CUPTI_CHECK(cuptiProfilerHostGetConfigImageSize, &size);
  if (size.configImageSize == 0)  // GetNumOfPasses crashes on an empty image
    throw Broken(
        fmt::format("CUPTI: group '{}' gives an empty configuration on {}", g.name, g.chip));
  plan.config_.resize(size.configImageSize);
  CUPTI_PARAMS(CUpti_Profiler_Host_GetConfigImage_Params, image);
  image.pHostObject = plan.host_.get();
  image.configImageSize = plan.config_.size();
  image.pConfigImage = plan.config_.data();
  CUPTI_CHECK(cuptiProfilerHostGetConfigImage, &image);

  CUPTI_PARAMS(CUpti_Profiler_Host_GetNumOfPasses_Params, passes);
  passes.configImageSize = plan.config_.size();
  passes.pConfigImage = plan.config_.data();
  CUPTI_CHECK(cuptiProfilerHostGetNumOfPasses, &passes);
  plan.passes_ = passes.numOfPasses;
  return plan;
}

std::vector<const char*> Plan::names() const {
  std::vector<const char*> names;
  for (const std::string& metric : group_.metrics) names.push_back(metric.c_str());
  return names;
}

std::vector<double> Plan::read(std::span<const std::uint8_t> counter_data,
                               std::size_t range) const {
  std::vector<const char*> metrics = names();
  std::vector<double> values(metrics.size(), std::numeric_limits<double>::quiet_NaN());
  CUPTI_PARAMS(CUpti_Profiler_Host_EvaluateToGpuValues_Params, params);
  params.pHostObject = host_.get();
  params.pCounterDataImage = counter_data.data();
  params.counterDataImageSize = counter_data.size();
  params.rangeIndex = range;
  params.ppMetricNames = metrics.data();
  params.numMetrics = metrics.size();
  params.pMetricValues = values.data();
  CUPTI_CHECK(cuptiProfilerHostEvaluateToGpuValues, &params);
  return values;
}

}  // namespace kvroof::probe
