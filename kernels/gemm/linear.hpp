// A linear layer inside a larger launch: cuBLASLt's first choice for one shape.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <functional>

#include "model/gemm_reread.hpp"
#include "model/work.hpp"

namespace kvroof::kernels {

/// out [m, n] = x [m, k] · w [n, k]^T in bf16, on any buffers of these shapes.
struct LinearLayer {
  std::function<void(const void* x, const void* w, void* out, cudaStream_t)> launch;
  Work work;
  Raster raster;
  int kernels = 1;
};
/// x_row: elements from one row of x to the next; 0: k. Throws NotOnThisGpu without cuBLASLt.
LinearLayer linear_bf16(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t x_row = 0);

}  // namespace kvroof::kernels
