// FlashAttention-3 forward as a plain function; the kernel is in flash_v3.cuh.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace kvroof::kernels::flash_v3 {

/// One head-major tensor [b, h, s, d] on the device; strides in elements, d contiguous.
struct Tensor {
  void* data = nullptr;
  std::int64_t stride_b = 0, stride_h = 0, stride_s = 0;
};

/// q [b, h_q, s_q, d_qk]  k [b, h_kv, s_kv, d_qk]  v [b, h_kv, s_kv, d_v]  o [b, h_q, s_q, d_v]
/// lse [b, h_q, s_q], or nullptr. ticket: one zeroed word, left at zero; not shared by launches that
/// may run at the same time.
struct Call {
  int b = 1, h_q = 1, h_kv = 1, s_q = 1, s_kv = 1, d_qk = 128, d_v = 128;
  bool causal = false, fp16 = false;  // else bf16
  float scale = 1;
  Tensor q, k, v, o;
  float* lse = nullptr;
  unsigned* ticket = nullptr;
  double l2_share = 24e6;  // bytes of K/V that the blocks at work should share at most
};

/// Head sizes (64, 64), (128, 128), (256, 256), (192, 128); throws std::invalid_argument for others.
void run(const Call& call, cudaStream_t stream);

}  // namespace kvroof::kernels::flash_v3
