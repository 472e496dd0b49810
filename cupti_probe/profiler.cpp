#include "cupti_probe/profiler.hpp"

#include <cuda_runtime.h>
#include <fmt/core.h>

#include <utility>

#include "cupti_probe/error.hpp"
#include "kernels/check.hpp"
#include "kernels/device.hpp"

namespace kvroof::probe {
namespace {

/// cuCtxGetCurrent through the runtime: the program then starts without a driver library.
CUcontext current_context() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuCtxGetCurrent", &function, 12000,
                                              cudaEnableDefault, &found));
  if (!function) throw Broken("the driver has no cuCtxGetCurrent");
  CUcontext context = nullptr;
  const CUresult got = reinterpret_cast<CUresult (*)(CUcontext*)>(function)(&context);
  if (got != CUDA_SUCCESS || context == nullptr)
    throw Broken(fmt::format("cuCtxGetCurrent: no context (error {})", static_cast<int>(got)));
  return context;
}

Target open_target() {
  require_gpu();
  CUDA_CHECK(cudaFree(nullptr));  // creates the context
  Target t;
  CUPTI_PARAMS(CUpti_Profiler_Initialize_Params, init);
  CUPTI_CHECK(cuptiProfilerInitialize, &init);  // without it the next calls crash
  t.context = current_context();
  int device = 0;
  CUDA_CHECK(cudaGetDevice(&device));

  CUPTI_PARAMS(CUpti_Profiler_DeviceSupported_Params, supported);
  supported.cuDevice = device;
  supported.api = CUPTI_PROFILER_RANGE_PROFILING;
  CUPTI_CHECK(cuptiProfilerDeviceSupported, &supported);
  if (supported.isSupported != CUPTI_PROFILER_CONFIGURATION_SUPPORTED) {
    const auto no = [](CUpti_Profiler_Support_Level level) {
      return level == CUPTI_PROFILER_CONFIGURATION_UNSUPPORTED ||
             level == CUPTI_PROFILER_CONFIGURATION_DISABLED;
    };
    const char* why = no(supported.architecture)          ? "its architecture"
                      : no(supported.sli)                 ? "SLI"
                      : no(supported.vGpu)                ? "the vGPU"
                      : no(supported.confidentialCompute) ? "confidential computing"
                      : no(supported.cmp)                 ? "a mining GPU"
                      : no(supported.wsl)                 ? "WSL"
                                                          : "an unknown reason";
    throw Unavailable(fmt::format("CUPTI: this device cannot be profiled because of {}", why),
                      "times alone: --no-counters");
  }

  CUPTI_PARAMS(CUpti_Device_GetChipName_Params, chip);
  chip.deviceIndex = static_cast<std::size_t>(device);
  CUPTI_CHECK(cuptiDeviceGetChipName, &chip);
  t.chip = chip.pChipName;

  CUPTI_PARAMS(CUpti_Profiler_GetCounterAvailability_Params, availability);
  availability.ctx = t.context;
  CUPTI_CHECK(cuptiProfilerGetCounterAvailability, &availability);
  t.availability.resize(availability.counterAvailabilityImageSize);
  availability.pCounterAvailabilityImage = t.availability.data();
  CUPTI_CHECK(cuptiProfilerGetCounterAvailability, &availability);
  return t;
}

/// Pushes a range of Scope::whole and pops it, also when the work throws.
class UserRange {
 public:
  UserRange(CUpti_RangeProfiler_Object* profiler, const char* name) : profiler_(profiler) {
    CUPTI_PARAMS(CUpti_RangeProfiler_PushRange_Params, push);
    push.pRangeProfilerObject = profiler_;
    push.pRangeName = name;
    CUPTI_CHECK(cuptiRangeProfilerPushRange, &push);
  }
  UserRange(const UserRange&) = delete;
  UserRange& operator=(const UserRange&) = delete;
  void pop() {
    CUPTI_PARAMS(CUpti_RangeProfiler_PopRange_Params, params);
    params.pRangeProfilerObject = std::exchange(profiler_, nullptr);
    CUPTI_CHECK(cuptiRangeProfilerPopRange, &params);
  }
  ~UserRange() {
    if (!profiler_) return;
    CUPTI_PARAMS(CUpti_RangeProfiler_PopRange_Params, params);
    params.pRangeProfilerObject = profiler_;
    cupti().cuptiRangeProfilerPopRange(&params);
  }

 private:
  CUpti_RangeProfiler_Object* profiler_;
};

/// Starts a pass; stop() says whether all passes are in.
/// Stop precedes Disable even when work throws.
class Pass {
 public:
  explicit Pass(CUpti_RangeProfiler_Object* profiler) : profiler_(profiler) {
    CUPTI_PARAMS(CUpti_RangeProfiler_Start_Params, params);
    params.pRangeProfilerObject = profiler_;
    CUPTI_CHECK(cuptiRangeProfilerStart, &params);
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  bool stop() {
    CUPTI_PARAMS(CUpti_RangeProfiler_Stop_Params, params);
    params.pRangeProfilerObject = std::exchange(profiler_, nullptr);
    CUPTI_CHECK(cuptiRangeProfilerStop, &params);
    return params.isAllPassSubmitted != 0;
  }
  ~Pass() {
    if (!profiler_) return;
    CUPTI_PARAMS(CUpti_RangeProfiler_Stop_Params, params);
    params.pRangeProfilerObject = profiler_;
    cupti().cuptiRangeProfilerStop(&params);
  }

 private:
  CUpti_RangeProfiler_Object* profiler_;
};

}  // namespace

void require_gpu() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    const char* name = error == cudaSuccess ? "cudaErrorNoDevice" : cudaGetErrorName(error);
    throw Unavailable(fmt::format("no CUDA device ({})", name),
                      "predictions need none: try kvroof run");
  }
  if (kernels::built_for_gpu()) return;
  const kernels::Gpu& gpu = kernels::gpu();
  throw Unavailable(fmt::format("this build has no code for {} (compute capability {}.{})",
                                gpu.name, gpu.major, gpu.minor),
                    fmt::format("configure it with -DKVROOF_CUDA_ARCHITECTURES={}{}{}-real",
                                gpu.major, gpu.minor, gpu.is_hopper() ? "a" : ""));
}

const Target& target() {
  cupti_given_up();
  static const Target t = open_target();
  return t;
}

Collector::Collector(Plan plan, Scope scope, std::size_t max_ranges)
    : claim_(Instrument::counters), plan_(std::move(plan)), scope_(scope), max_ranges_(max_ranges) {
  CUPTI_PARAMS(CUpti_RangeProfiler_Enable_Params, enable);
  enable.ctx = target().context;
  CUPTI_CHECK(cuptiRangeProfilerEnable, &enable);
  profiler_ = enable.pRangeProfilerObject;
}

Collector::~Collector() {
  CUPTI_PARAMS(CUpti_RangeProfiler_Disable_Params, params);
  params.pRangeProfilerObject = profiler_;
  cupti().cuptiRangeProfilerDisable(&params);
}

void Collector::configure() {
  std::vector<const char*> names = plan_.names();
  if (data_.empty()) {
    CUPTI_PARAMS(CUpti_RangeProfiler_GetCounterDataSize_Params, size);
    size.pRangeProfilerObject = profiler_;
    size.pMetricNames = names.data();
    size.numMetrics = names.size();
    size.maxNumOfRanges = max_ranges_;
    size.maxNumRangeTreeNodes = static_cast<std::uint32_t>(max_ranges_);
    CUPTI_CHECK(cuptiRangeProfilerGetCounterDataSize, &size);
    data_.resize(size.counterDataSize);
  }
  CUPTI_PARAMS(CUpti_RangeProfiler_CounterDataImage_Initialize_Params, reset);
  reset.pRangeProfilerObject = profiler_;
  reset.counterDataSize = data_.size();
  reset.pCounterData = data_.data();
  CUPTI_CHECK(cuptiRangeProfilerCounterDataImageInitialize, &reset);

  CUPTI_PARAMS(CUpti_RangeProfiler_SetConfig_Params, config);
  config.pRangeProfilerObject = profiler_;
  config.configSize = plan_.config_image().size();
  config.pConfig = plan_.config_image().data();
  config.counterDataImageSize = data_.size();
  config.pCounterDataImage = data_.data();
  config.range = scope_ == Scope::whole ? CUPTI_UserRange : CUPTI_AutoRange;
  config.replayMode = CUPTI_UserReplay;
  config.maxRangesPerPass = max_ranges_;
  config.numNestingLevels = 1;
  config.minNestingLevel = 1;
  config.passIndex = 0;
  config.targetNestingLevel = 1;
  CUPTI_CHECK(cuptiRangeProfilerSetConfig, &config);
}

std::vector<Reading> Collector::collect(const std::function<void()>& work) {
  if (scope_ == Scope::whole) return collect(std::span(&work, 1), nullptr);
  return passes(work, 0);
}

std::vector<Reading> Collector::collect(std::span<const std::function<void()>> works,
                                        const std::function<void()>& before) {
  // Ranges of one name would be one range.
  std::vector<std::string> names;
  for (std::size_t i = 0; i < works.size(); ++i) names.push_back(std::to_string(i));
  const auto each = [&] {
    for (std::size_t i = 0; i < works.size(); ++i) {
      if (before) before();
      UserRange range(profiler_, names[i].c_str());
      works[i]();
      CUDA_CHECK(cudaDeviceSynchronize());
      range.pop();
    }
  };
  return passes(each, works.size());
}

std::vector<Reading> Collector::passes(const std::function<void()>& launch_all,
                                       std::size_t expected) {
  cupti_given_up();
  configure();
  bool submitted = false;
  for (std::size_t i = 0; !submitted; ++i) {
    if (i == plan_.passes() + 4)
      throw Broken(fmt::format("CUPTI: {} passes were planned for group '{}', {} were not enough",
                               plan_.passes(), plan_.group().name, i));
    Pass pass(profiler_);
    launch_all();
    CUDA_CHECK(cudaGetLastError());
    submitted = pass.stop();
  }
  CUDA_CHECK(cudaDeviceSynchronize());

  CUPTI_PARAMS(CUpti_RangeProfiler_DecodeData_Params, decode);
  decode.pRangeProfilerObject = profiler_;
  CUPTI_CHECK(cuptiRangeProfilerDecodeData, &decode);
  CUPTI_PARAMS(CUpti_RangeProfiler_GetCounterDataInfo_Params, info);
  info.pCounterDataImage = data_.data();
  info.counterDataImageSize = data_.size();
  CUPTI_CHECK(cuptiRangeProfilerGetCounterDataInfo, &info);
  const std::size_t ranges = info.numTotalRanges;
  if (decode.numOfRangeDropped != 0 || ranges == 0 || (expected > 0 && ranges != expected))
    throw Broken(fmt::format("CUPTI: the profiler saw {} ranges and dropped {} of at most {}",
                             ranges, decode.numOfRangeDropped, max_ranges_));

  std::vector<Reading> readings;
  for (std::size_t i = 0; i < ranges; ++i) {
    CUPTI_PARAMS(CUpti_RangeProfiler_CounterData_GetRangeInfo_Params, range);
    range.pCounterDataImage = data_.data();
    range.counterDataImageSize = data_.size();
    range.rangeIndex = i;
    range.rangeDelimiter = "/";
    CUPTI_CHECK(cuptiRangeProfilerCounterDataGetRangeInfo, &range);
    readings.push_back({range.rangeName ? range.rangeName : "", plan_.read(data_, i)});
  }
  return readings;
}

}  // namespace kvroof::probe
