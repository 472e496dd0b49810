// FlashAttention-4 forward for Blackwell: tcgen05, tensor memory; d 128, bf16.
//                                                              model: model/attention/flash_v4.cpp
//   S = scale · Q · K^T      P = softmax(S) by rows      O = P · V      LSE = log sum exp S
//   q [b, h_q, s_q, 128]   k, v [b, h_kv, s_kv, 128]   o [b, h_q, s_q, 128]   lse [b, h_q, s_q] fp32
//   fp32 accumulation; causal: query i sees keys <= i + s_kv - s_q
// Zadouri et al. 2026 (arXiv:2603.05451), sections 3.1 to 3.3.
//
// NEVER RUN: compiled for sm_100a, with no GPU of compute capability 10.0 at hand. What stands for
// it: encodings and layouts against the PTX ISA and against kernels that others ran
// (tests/blackwell/descriptors_test.cpp), the barriers proved on a model that runs the same role
// code (protocol_test.cpp), and no wait without an end. Its test against the oracle runs where
// there is such a GPU.
//
// Who does what: kernels/blackwell/forward/protocol.hpp, with the map of tensor memory and the
// table of barriers. One block per SM, 16 warps: 0-3 and 4-7 the softmax of the two query tiles,
// 8-11 the correction, 12 products, 13 copies. Left out of the paper's kernel: pairs of blocks
// (2-CTA), a warp of its own for the output, P handed over in two parts.
//   args  in_order  1: products are issued ahead as the paper's kernel does, on tensor cores that
//                   work in the order of issue; 0: only as far as the ISA promises an order
//
// Reads: Q once, K and V once per pair of query tiles (L2 serves the repeats). Writes: O, LSE once.
#pragma once
#include <algorithm>

#include "kernels/attention/flash_v3.hpp"
#include "kernels/blackwell/forward/correct.cuh"
#include "kernels/blackwell/forward/feed.cuh"
#include "kernels/blackwell/forward/softmax.cuh"
#include "kernels/hopper/registers.cuh"

namespace kvroof::kernels::blackwell::forward {

constexpr int kMultiplyWarp = 12, kLoadWarp = 13, kThreads = 16 * 32;
// 65,536 registers = 128 · (2 · 192 + 80 + 48)
constexpr int kSoftmaxRegisters = 192, kCorrectRegisters = 80, kOtherRegisters = 48;

template <bool kCausal, bool kInOrder>
__global__ void __launch_bounds__(kThreads, 1) kernel(const __grid_constant__ Params p) {
  extern __shared__ __align__(1024) std::uint8_t raw[];
  Smem& smem = *reinterpret_cast<Smem*>(raw);
  if (hopper::shared_address(raw) % 1024 != 0) __trap();  // swizzled tiles need it
  const int warp = __shfl_sync(0xFFFFFFFF, static_cast<int>(threadIdx.x) / 32, 0);
  if (warp == kMultiplyWarp) allocate_all(&smem.tensor_memory);
  if (threadIdx.x == 0) {
#pragma unroll
    for (int i = 0; i < kBarriers; ++i) {
      const auto which = static_cast<Barrier>(i);
      for (int copy = 0; copy < plan(which).copies; ++copy)
        smem.barriers[first_of(which) + copy].init(plan(which).arrivals);
    }
    hopper::fence_barrier_init();
  }
  fence_before();
  __syncthreads();
  fence_after();

  const Block<kCausal> block{p, smem};
  const int warpgroup = hopper::warpgroup_index();
  if (warpgroup < kTiles) {
    hopper::take_registers<kSoftmaxRegisters>();
    SoftmaxEngine<kCausal> engine(block);
    softmax(engine, warpgroup);
  } else if (warpgroup == kTiles) {
    hopper::give_back_registers<kCorrectRegisters>();
    CorrectEngine<kCausal> engine(block);
    correct(engine);
  } else {
    hopper::give_back_registers<kOtherRegisters>();
    if (warp == kMultiplyWarp && elected()) {
      MultiplyEngine<kCausal> engine(block);
      multiply<kInOrder>(engine);
    } else if (warp == kLoadWarp && elected()) {
      hopper::prefetch_map(p.q), hopper::prefetch_map(p.k), hopper::prefetch_map(p.v);
      LoadEngine<kCausal> engine{block};
      load(engine);
    }
    __syncwarp();
  }
  fence_before();
  __syncthreads();
  fence_after();
  if (warp == kMultiplyWarp) free_all(TensorAddress{smem.tensor_memory});
}

template <bool kCausal, bool kInOrder>
void launch(const flash_v3::Call& c, int num_sms, cudaStream_t stream) {
  const flash_v3::Shape& x = c.shape;
  const auto map = [&](const flash_v3::Tensor& t, int h, int s) {
    return hopper::tile_map({t.data, x.b, h, s, kD, t.stride_b, t.stride_h, t.stride_s},
                            CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, sizeof(Bf16), kRows);
  };
  const Params p{.q = map(c.q, x.h_q, x.s_q),
                 .k = map(c.k, x.h_kv, x.s_kv),
                 .v = map(c.v, x.h_kv, x.s_kv),
                 .o = static_cast<Bf16*>(c.o.data),
                 .lse = c.lse,
                 .o_stride_b = c.o.stride_b,
                 .o_stride_h = c.o.stride_h,
                 .o_stride_s = c.o.stride_s,
                 .s_q = x.s_q,
                 .s_kv = x.s_kv,
                 .h_q = x.h_q,
                 .group = x.h_q / x.h_kv,
                 .scale_log2 = c.scale * 1.4426950408889634f,
                 .pairs = (x.s_q + kPairRows - 1) / kPairRows,
                 .heads = x.b * x.h_q,
                 .section = flash_v3::section_heads(x, sizeof(Bf16), c.l2_share)};
  constexpr int kBytes = sizeof(Smem);
  const auto function = kernel<kCausal, kInOrder>;
  CUDA_CHECK(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  function<<<std::min(num_sms, p.heads * p.pairs), kThreads, kBytes, stream>>>(p);
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace kvroof::kernels::blackwell::forward
