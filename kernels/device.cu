#include "kernels/device.hpp"

#include "kernels/check.hpp"

namespace kvroof::kernels {
namespace {

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

Gpu query() {
  int device = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  cudaDeviceProp p{};
  CUDA_CHECK(cudaGetDeviceProperties(&p, device));
  Gpu g{.name = p.name,
        .major = p.major,
        .minor = p.minor,
        .num_sms = p.multiProcessorCount,
        .l2_bytes = static_cast<std::size_t>(p.l2CacheSize),
        .memory_bytes = p.totalGlobalMem,
        .max_sm_clock_hz = 1e3 * attribute(cudaDevAttrClockRate, device),
        .memory_clock_hz = 1e3 * attribute(cudaDevAttrMemoryClockRate, device),
        .memory_bus_bits = p.memoryBusWidth};
  CUDA_CHECK(cudaDriverGetVersion(&g.driver));
  CUDA_CHECK(cudaRuntimeGetVersion(&g.runtime));
  return g;
}

/// Whether the code picked for this device was compiled for sm_90a.
__global__ void built_for_sm90a(int* answer) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  *answer = 1;
#else
  *answer = 0;
#endif
}

}  // namespace

bool has_gpu() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

const Gpu& gpu() {
  static const Gpu g = query();
  return g;
}

bool built_for_gpu() {
  cudaFuncAttributes ignored{};
  const cudaError_t found = cudaFuncGetAttributes(&ignored, built_for_sm90a);
  if (found == cudaErrorNoKernelImageForDevice || found == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();  // else the next launch reports it
    return false;
  }
  CUDA_CHECK(found);
  return true;
}

void require_sm90a(const char* kernel) {
  static const bool runs = [] {
    if (!gpu().is_hopper()) return false;
    const Buffer answer(sizeof(int));
    built_for_sm90a<<<1, 1>>>(answer.as<int>());
    CUDA_CHECK(cudaGetLastError());
    int host = 0;
    CUDA_CHECK(cudaMemcpy(&host, answer.as(), sizeof host, cudaMemcpyDeviceToHost));
    return host == 1;
  }();
  if (!runs)
    throw NotOnThisGpu(std::string(kernel) +
                       ": needs sm_90a code and a GPU of compute capability " + "9.0; this is " +
                       gpu().name + " (" + std::to_string(gpu().major) + "." +
                       std::to_string(gpu().minor) + ")");
}

Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  void* p = nullptr;
  const cudaError_t got = cudaMalloc(&p, bytes);
  if (got == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // else the next launch reports it
    std::size_t free = 0, total = 0;
    CUDA_CHECK(cudaMemGetInfo(&free, &total));
    throw NotOnThisGpu("needs " + std::to_string(bytes >> 20) + " MiB of device memory at once; " +
                       gpu().name + " has " + std::to_string(free >> 20) + " MiB left");
  }
  CUDA_CHECK(got);
  memory_ = std::shared_ptr<void>(p, [](void* q) { cudaFree(q); });
}

Stream::Stream() {
  cudaStream_t s = nullptr;
  CUDA_CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  stream_ = std::shared_ptr<CUstream_st>(s, [](cudaStream_t q) { cudaStreamDestroy(q); });
}

}  // namespace kvroof::kernels
