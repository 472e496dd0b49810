// The end of a split-KV block: its warps' partial results meet in shared memory and leave as one.
//   O = sum_w 2^(m_w - m)·O_w / sum_w 2^(m_w - m)·l_w       m = max_w m_w
#pragma once
#include "kernels/online_softmax.cuh"
#include "kernels/split_kv.hpp"

namespace kvroof::kernels {

/// Of one warp; takes the place of its ring after the loop.
template <class T>
struct WarpResult {
  struct Type {
    float o[T::kRows][T::kD + 4];
    float max2[T::kRows], sum[T::kRows];  // maximum in units of 2^x
  };
};

/// This warp's result into its shared memory; the ring it replaces has been read by all its lanes.
template <class T>
__device__ __forceinline__ void publish(typename WarpResult<T>::Type& mine,
                                        const float (&o)[T::kColTiles][4],
                                        const OnlineSoftmax& softmax, float scale) {
  const int lane = threadIdx.x % 32;
  __syncwarp();
  if (lane % 4 == 0) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      mine.max2[lane / 4 + 8 * half] =
          softmax.max[half] == -INFINITY ? -INFINITY : softmax.max[half] * scale;
      mine.sum[lane / 4 + 8 * half] = softmax.sum[half];
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int t = 0; t < T::kColTiles; ++t)
      *reinterpret_cast<float2*>(&mine.o[lane / 4 + 8 * half][8 * t + 2 * (lane % 4)]) =
          make_float2(o[t][2 * half], o[t][2 * half + 1]);
}

/// Merges what the warps published and writes it: o and lse, or the partial results of this split.
template <class T, class Rows, class Smem>
__device__ __forceinline__ void store_merged(const SplitParams& p, const Rows& rows, Smem& smem) {
  constexpr int kQuads = T::kD / 4;  // threads a row
  const int split = blockIdx.x, parts = p.parts > 0 ? p.parts : p.splits;
  __syncthreads();
  for (int i = threadIdx.x; i < rows.count * kQuads; i += T::kThreads) {
    const int r = i / kQuads, col = i % kQuads * 4;
    float max = -INFINITY, sum = 0;
#pragma unroll
    for (int w = 0; w < T::kWarps; ++w) max = fmaxf(max, smem.warp[w].result.max2[r]);
    const float shift = max == -INFINITY ? 0.f : max;
    float4 x = make_float4(0, 0, 0, 0);
#pragma unroll
    for (int w = 0; w < T::kWarps; ++w) {
      const auto& part = smem.warp[w].result;
      const float weight = exp2_approx(part.max2[r] - shift);
      const float4 o = *reinterpret_cast<const float4*>(&part.o[r][col]);
      sum += weight * part.sum[r];
      x.x += weight * o.x, x.y += weight * o.y, x.z += weight * o.z, x.w += weight * o.w;
    }
    const float inverse = sum > 0 ? 1 / sum : 0.f;
    x.x *= inverse, x.y *= inverse, x.z *= inverse, x.w *= inverse;
    const float lse2 = sum > 0 ? max + log2f(sum) : -INFINITY;
    const std::int64_t row = rows.row(p, r);
    if (parts > 1) {
      *reinterpret_cast<float4*>(p.part_o + (row * parts + split) * T::kD + col) = x;
      if (col == 0) p.part_lse2[row * parts + split] = lse2;
    } else {
      *reinterpret_cast<uint2*>(p.o + row * T::kD + col) =
          make_uint2(pack_bf16(x.x, x.y), pack_bf16(x.z, x.w));
      if (col == 0 && p.lse != nullptr) p.lse[row] = lse2 * kLn2;
    }
  }
}

}  // namespace kvroof::kernels
