// The elementwise kernels between the products, as hosts see them. All tensors are bf16 with rows
// end to end; widths are multiples of 8.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "model/work.hpp"

namespace kvroof::kernels {

/// Thread blocks of a launch, and how many of them share an SM. A block of these kernels loads all
/// it needs at once, so that a lone one draws what its SM can: of few blocks none waits for company.
struct Grid {
  double blocks = 0;
  int per_sm = 1;
};
/// `threads` of a block.
Grid grid_of(double blocks, int threads);

/// y = x / sqrt(mean(x²) + epsilon) · weight over rows [tokens, d]; with a residual r,
/// sum = x + r (rounded) takes the place of x and is written too.
struct RmsNormParams {
  const __nv_bfloat16 *x, *residual, *weight;  // residual may be null
  __nv_bfloat16 *sum, *y;                      // sum: if there is a residual
  int tokens, d;
  float epsilon;
};
void launch_rms_norm(const RmsNormParams&, cudaStream_t);
/// sum = x + residual alone.
void launch_residual_add(const RmsNormParams&, cudaStream_t);
Grid rms_norm_grid(int tokens, int d);
/// How often launch_rms_norm's weights go to an SM: once to each that works; its L1 keeps them.
double rms_norm_weight_loads(int tokens);
/// Lanes it takes on the XU pipe: a division and rsqrt for each thread of a row.
double rms_norm_xu_lanes(int tokens, int d);

/// y [tokens, d_ff] = silu(gate)·up; gate_up [tokens, 2·d_ff] holds both side by side.
struct SwigluParams {
  const __nv_bfloat16* gate_up;
  __nv_bfloat16 *silu, *y;  // silu: room of y's size for the unfused way
  int tokens, d_ff;
};
void launch_swiglu(const SwigluParams&, cudaStream_t);
/// silu(gate) into memory, then times up: two kernels.
void launch_swiglu_unfused(const SwigluParams&, cudaStream_t);
Grid swiglu_grid(int tokens, int d_ff);

/// q_out = rope(q); the cache rows of each token = rope(k), v.
///   qkv               [tokens, (h_q + 2·h_kv)·d]       q_out [tokens, h_q, d]
///   turns             [positions, d / 2] (cos, sin) of position·theta^(-2i/d)
///   k_cache, v_cache  [pages, h_kv, page, d]; token t goes to row slots[t] % page of page
///                     slots[t] / page
struct RopeAppendParams {
  const __nv_bfloat16* qkv;
  const float2* turns;
  const int *positions, *slots;                         // [tokens]
  __nv_bfloat16 *q_out, *k_turned, *k_cache, *v_cache;  // k_turned: unfused only
  int tokens, h_q, h_kv, d, page;
};
void launch_rope_append(const RopeAppendParams&, cudaStream_t);
/// q and k turned into memory, then k and v copied to the cache: two kernels.
void launch_rope_append_unfused(const RopeAppendParams&, cudaStream_t);
/// Of the kernel that turns q and k, and with `fused` appends too.
Grid rope_append_grid(int tokens, int h_q, int h_kv, int d, bool fused);

}  // namespace kvroof::kernels
