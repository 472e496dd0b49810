// Merges the partial results of a split-KV attention (Flash-Decoding, PyTorch blog 2023).
//   part_o [rows, splits, d] fp32    part_lse2 [rows, splits] fp32, base 2    o [rows, d] bf16
//   L = max_s lse_s     O = sum_s 2^(lse_s - L)·O_s / sum_s 2^(lse_s - L)
// The partials were just written: they come from L2.
#pragma once
#include "kernels/dependent_launch.cuh"
#include "kernels/mma.cuh"

namespace kvroof::kernels {

struct CombineParams {
  const float *part_o, *part_lse2;
  bf16* o;
  float* lse;  // natural logarithm; may be null
  int rows, splits;
};

/// One block a row: kD / 4 threads hold one quad of columns each, and as many such groups as fit
/// take every kGroups-th split. At most kMaxSplits splits.
template <int kD>
struct CombineTile {
  static constexpr int kThreads = 256, kQuads = kD / 4, kGroups = kThreads / kQuads;
  static constexpr int kMaxSplits = 1024;
};

template <int kD>
__global__ __launch_bounds__(CombineTile<kD>::kThreads) void combine(const CombineParams p) {
  using T = CombineTile<kD>;
  __shared__ float weight[T::kMaxSplits], partial_max[T::kThreads / 32];
  __shared__ float4 group_o[T::kGroups][T::kQuads];
  __shared__ float group_sum[T::kGroups];
  const std::int64_t row = blockIdx.x;
  const int quad = threadIdx.x % T::kQuads, group = threadIdx.x / T::kQuads;
  const float* lse2 = p.part_lse2 + row * p.splits;
  const float4* part = reinterpret_cast<const float4*>(p.part_o + row * p.splits * kD) + quad;
  allow_next_kernel();
  wait_for_previous_kernel();

  float top = -INFINITY;
  for (int s = threadIdx.x; s < p.splits; s += T::kThreads) top = fmaxf(top, weight[s] = lse2[s]);
#pragma unroll
  for (int x = 16; x > 0; x /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, x));
  if (threadIdx.x % 32 == 0) partial_max[threadIdx.x / 32] = top;
  __syncthreads();
#pragma unroll
  for (int w = 0; w < T::kThreads / 32; ++w) top = fmaxf(top, partial_max[w]);
  const float shift = top == -INFINITY ? 0.f : top;
  for (int s = threadIdx.x; s < p.splits; s += T::kThreads)
    weight[s] = exp2_approx(weight[s] - shift);
  __syncthreads();

  float sum = 0;
  float4 o = make_float4(0, 0, 0, 0);
#pragma unroll 8
  for (int s = group; s < p.splits; s += T::kGroups) {
    const float w = weight[s];
    const float4 x = part[s * T::kQuads];
    sum += w;
    o.x += w * x.x, o.y += w * x.y, o.z += w * x.z, o.w += w * x.w;
  }
  group_o[group][quad] = o;
  if (quad == 0) group_sum[group] = sum;
  __syncthreads();
  if (group != 0) return;
#pragma unroll
  for (int g = 1; g < T::kGroups; ++g) {
    const float4 x = group_o[g][quad];
    sum += group_sum[g];
    o.x += x.x, o.y += x.y, o.z += x.z, o.w += x.w;
  }
  const float inverse = sum > 0 ? 1 / sum : 0.f;
  reinterpret_cast<uint2*>(p.o + row * kD)[quad] =
      make_uint2(pack_bf16(o.x * inverse, o.y * inverse), pack_bf16(o.z * inverse, o.w * inverse));
  if (quad == 0 && p.lse != nullptr) p.lse[row] = sum > 0 ? (top + log2f(sum)) * kLn2 : -INFINITY;
}

}  // namespace kvroof::kernels
