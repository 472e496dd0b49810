// CUPTI as a run-time dependency: the program starts on machines without it. libcupti opens
// libnvperf_host.so and libnvperf_target.so by bare name and asks no RUNPATH, so both are opened by
// full path first; without them every Host API call answers "not initialized".
#pragma once
#include <cuda.h>
// The CUPTI headers need cuda.h first.
#include <cupti_profiler_host.h>
#include <cupti_profiler_target.h>
#include <cupti_range_profiler.h>
#include <cupti_result.h>
#include <cupti_target.h>
#include <cupti_version.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace kvroof::probe {

/// The calls the probe makes, and no others.
#define KVROOF_CUPTI_CALLS(X)                     \
  X(cuptiGetVersion)                              \
  X(cuptiGetResultString)                         \
  X(cuptiDeviceGetChipName)                       \
  X(cuptiProfilerInitialize)                      \
  X(cuptiProfilerDeviceSupported)                 \
  X(cuptiProfilerGetCounterAvailability)          \
  X(cuptiProfilerHostInitialize)                  \
  X(cuptiProfilerHostDeinitialize)                \
  X(cuptiProfilerHostGetSubMetrics)               \
  X(cuptiProfilerHostGetMetricProperties)         \
  X(cuptiProfilerHostConfigAddMetrics)            \
  X(cuptiProfilerHostGetConfigImageSize)          \
  X(cuptiProfilerHostGetConfigImage)              \
  X(cuptiProfilerHostGetNumOfPasses)              \
  X(cuptiProfilerHostEvaluateToGpuValues)         \
  X(cuptiRangeProfilerEnable)                     \
  X(cuptiRangeProfilerDisable)                    \
  X(cuptiRangeProfilerSetConfig)                  \
  X(cuptiRangeProfilerStart)                      \
  X(cuptiRangeProfilerStop)                       \
  X(cuptiRangeProfilerPushRange)                  \
  X(cuptiRangeProfilerPopRange)                   \
  X(cuptiRangeProfilerDecodeData)                 \
  X(cuptiRangeProfilerGetCounterDataSize)         \
  X(cuptiRangeProfilerCounterDataImageInitialize) \
  X(cuptiRangeProfilerGetCounterDataInfo)         \
  X(cuptiRangeProfilerCounterDataGetRangeInfo)

struct Cupti {
#define KVROOF_MEMBER(name) decltype(&::name) name = nullptr;
  KVROOF_CUPTI_CALLS(KVROOF_MEMBER)
#undef KVROOF_MEMBER
  std::filesystem::path folder;  // where it was found
  std::uint32_t version = 0;     // CUPTI_API_VERSION of the library, e.g. 130001
};

/// Folders that may hold libcupti, in the order they are tried: $KVROOF_CUPTI alone if set; else
/// $CUDA_HOME and $CUDA_PATH, the toolkit of the build, /usr/local/cuda*, $LD_LIBRARY_PATH, pip.
std::vector<std::filesystem::path> cupti_folders();

/// The library, opened once a process. Throws Unavailable naming what is missing and
/// where it looked.
const Cupti& cupti();

/// Throws Unavailable (with the remedy) for any answer but CUPTI_SUCCESS. An answer that a process
/// meets for good is remembered: cupti_given_up() throws it again at once.
void cupti_check(CUptiResult result, const char* call);
void cupti_given_up();

/// A parameter structure as CUPTI wants it: zeroed, with its size, pPriv null.
#define CUPTI_PARAMS(type, name) \
  type name{};                   \
  name.structSize = type##_STRUCT_SIZE

#define CUPTI_CHECK(call, params) \
  ::kvroof::probe::cupti_check(::kvroof::probe::cupti().call(params), #call)

}  // namespace kvroof::probe
