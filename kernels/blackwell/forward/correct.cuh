// The engine of the correction warps: a row of O a thread, rescaled when the softmax says so, and
// divided by its sum at the end.
#pragma once
#include "kernels/blackwell/forward/tile.cuh"
#include "kernels/hopper/fragment.cuh"

namespace kvroof::kernels::blackwell::forward {

template <bool kCausal>
struct CorrectEngine : WarpBlock<kCausal> {
  using WarpBlock<kCausal>::p, WarpBlock<kCausal>::mine, WarpBlock<kCausal>::lane_row;
  using WarpBlock<kCausal>::WarpBlock;

  float growth, sum, base;

  __device__ __forceinline__ void read_growth(int t) { growth = this->smem.note[t][lane_row].x; }
  __device__ __forceinline__ void read_sums(int t) {
    const float2 note = this->smem.note[t][lane_row];
    sum = note.x, base = note.y;
  }

  __device__ __forceinline__ void rescale(int t) {
    if (!__any_sync(0xFFFFFFFF, growth != 1)) return;
#pragma unroll 1
    for (int column = 0; column < kD; column += 32) {
      float x[32];
      const TensorAddress at = mine.columns(output_column(t) + column);
      load_columns(x, at);
      wait_loads();  // the store goes to the same columns
#pragma unroll
      for (float& v : x) v *= growth;
      store_columns(at, x);
    }
    wait_stores();
  }

  /// O / sum, 0 where a row saw no key; and log sum exp.
  __device__ __forceinline__ void store(int t) {
    const int i = this->row + t * kRows + lane_row;
    const bool valid = i < p.s_q;
    const float factor = sum > 0 ? 1 / sum : 0.f;
    Bf16* out = p.o + this->b * p.o_stride_b + this->h * p.o_stride_h + i * p.o_stride_s;
#pragma unroll 1
    for (int column = 0; column < kD; column += 32) {
      float x[32];
      load_columns(x, mine.columns(output_column(t) + column));
      std::uint32_t w[16];
#pragma unroll
      for (int k = 0; k < 16; ++k)
        w[k] = hopper::pack2<Bf16>(x[2 * k] * factor, x[2 * k + 1] * factor);
      if (valid) {
#pragma unroll
        for (int k = 0; k < 16; k += 4)
          __stcs(reinterpret_cast<uint4*>(out + column + 2 * k),
                 make_uint4(w[k], w[k + 1], w[k + 2], w[k + 3]));
      }
      __syncwarp();  // the next load wants all lanes
    }
    wait_loads();  // the next pair's products may overwrite O after the next arrival
    if (valid && p.lse)
      p.lse[(static_cast<std::int64_t>(this->b) * p.h_q + this->h) * p.s_q + i] =
          sum > 0 ? base * 0.6931471806f + logf(sum) : -INFINITY;
  }
};

}  // namespace kvroof::kernels::blackwell::forward
