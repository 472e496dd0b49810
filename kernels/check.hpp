// CUDA errors: every runtime call goes through CUDA_CHECK and fails with the call,
// the file and the line.
#pragma once
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace kvroof::kernels {

struct CudaError : std::runtime_error {
  cudaError_t code;
  CudaError(cudaError_t c, const char* call, const char* file, int line)
      : std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + call + ": " +
                           cudaGetErrorName(c) + " (" + cudaGetErrorString(c) + ")"),
        code(c) {}
};

inline void cuda_check(cudaError_t code, const char* call, const char* file, int line) {
  if (code != cudaSuccess) throw CudaError(code, call, file, line);
}

}  // namespace kvroof::kernels

#define CUDA_CHECK(call) ::kvroof::kernels::cuda_check((call), #call, __FILE__, __LINE__)
