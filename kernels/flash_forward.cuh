// The FlashAttention-2 forward kernel over dense rows, for any FlashTile; the loop is in
// flash_loop.cuh.
#pragma once
#include "kernels/check.hpp"
#include "kernels/divisor.cuh"
#include "kernels/flash_loop.cuh"
#include "kernels/flash_prefill.hpp"

namespace kvroof::kernels {

/// One block per (kM query rows, head, request); blocks of one head are neighbours.
template <class T>
__global__ __launch_bounds__(T::kThreads, T::kCtasPerSm) void flash_forward(const FlashParams p,
                                                                            const Divisor group) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<FlashSmem<T>*>(shared);

  const int row_block = gridDim.x - 1 - blockIdx.x;  // causal: longest first
  const int head = blockIdx.y, request = blockIdx.z, kv_head = group.quotient(head);
  const int first_row = row_block * T::kM, rows = ::min(T::kM, p.s_q - first_row);

  const auto at = [&](const void* base, const Strides& s, int h) {
    return static_cast<const bf16*>(base) + request * s.request + h * s.head;
  };
  const bf16* q = at(p.q, p.q_strides, head) + first_row * p.q_strides.token;
  const DenseRows kv{at(p.k, p.k_strides, kv_head), at(p.v, p.v_strides, kv_head),
                     p.k_strides.token, p.v_strides.token};
  const float scale = p.scale * kLog2e;  // exponents to base 2

  FlashWarp<T> w;
  flash_loop<T>(
      w, smem, first_row, rows, [&](int r) { return q + r * p.q_strides.token; }, kv, p.band.s_kv,
      BandTiles<T::kN>(p.band, first_row, rows), scale);

  bf16* o = const_cast<bf16*>(at(p.o, p.o_strides, head)) + first_row * p.o_strides.token;
  float* lse = p.lse + (static_cast<std::int64_t>(request) * p.h_q + head) * p.s_q + first_row;
  store_output<T>(
      w, smem, rows, scale, [&](int r) { return o + r * p.o_strides.token; },
      [&](int r, float value) {
        if (p.lse != nullptr) lse[r] = value;
      });
}

template <class T>
void launch_flash_forward(const FlashParams& p, cudaStream_t stream) {
  constexpr int kSmem = sizeof(FlashSmem<T>);
  static const cudaError_t ready =
      cudaFuncSetAttribute(flash_forward<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem);
  CUDA_CHECK(ready);
  const dim3 grid((p.s_q + T::kM - 1) / T::kM, p.h_q, p.b);
  flash_forward<T><<<grid, T::kThreads, kSmem, stream>>>(p, Divisor(p.h_q / p.h_kv));
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace kvroof::kernels
