// The FlashAttention-2 forward kernel as hosts and the other prefill variants see it.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/attention_case.hpp"
#include "kernels/band.cuh"
#include "model/attention/variant.hpp"

namespace kvroof::kernels {

/// Where the rows of one tensor lie, in elements.
struct Strides {
  std::int64_t request, head, token;
};

///   q, o [b, h_q, s_q, d]   k, v [b, h_kv, s_kv, d]   bf16 or fp16, rows contiguous, any strides
///                                                     above them
///   lse [b, h_q, s_q] fp32, natural logarithm; may be null
struct FlashParams {
  const void *q, *k, *v;
  void* o;
  float* lse;
  Strides q_strides, k_strides, v_strides, o_strides;
  int b, h_q, h_kv, s_q, d;
  Band band;    // band.s_kv keys: full, causal, or a window of them
  float scale;  // 1 / sqrt(d)
  bool fp16 = false;
};

FlashParams flash_params(const AttentionData&);
/// Throws for a head size other than 64, 128, 256.
void launch_flash_v2(const FlashParams&, cudaStream_t);
/// The tile that launch_flash_v2 runs with, as the model counts it.
attention::Tile flash_v2_kernel_tile(int d);

}  // namespace kvroof::kernels
