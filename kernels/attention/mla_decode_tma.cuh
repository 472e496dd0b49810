// MLA decode, absorbed, on Hopper.                        model: model/attention/mla_decode.cpp
//   S = scale · q · C^T over all 576 columns of the latent rows C      P = softmax(S) by rows
//   O = P · C[:, :512]          h_q·s_q query rows share every row of C
//   q [b, s_q·h_q, 576]   cache [pages, page, 576]   table [b, max_pages]   o [b, s_q·h_q, 512]
//   bf16 in, fp32 accumulation; query token t sees keys j <= length - s_q + t
// DeepSeek-V2 (arXiv:2405.04434), section 2.1.
//
// Why it is laid out like this. A block holds 64 query rows: O is 64 x 512 fp32, half of the SM's
// registers. A tile of 64 keys then takes 36 wgmma m64n64k16 for S and 8 m64n256k16 for O: 2176
// cycles of tensor time, 34 a key. At N = 64 a wgmma with both operands in shared memory needs as
// many cycles of shared memory (16 for A, N/4 for B) as of tensor time, and TMA writes 576 cycles a
// tile beside it. So most of q lives in registers, of a warpgroup that does S and the softmax only:
//
//   shared memory, cycles a tile   S 31·16 + 5·32, O 8·(16 + 64), TMA 576, P 64: 1936 of 2176
//   registers a thread             scores 184, each half of O 160: the 504 that a launch can have
//   shared memory, KiB             three tiles 3·72, 80 columns of q 10: 226 of 227
//
//   scores     S_j, softmax, P_j -> shared memory
//   output 0/1 O[:, 256·w ...] += P_j · C_j
//
// The tensor cores must have work while P_j+1 is in its softmax: the output warpgroups start
// P_j·C_j when S_j+1 is finished, so that it runs under softmax j+1 instead of beside S_j+1. O is
// rescaled only when a maximum rises by more than 8 (2^8 fits P and l; arXiv:2603.05451).
//
// Ring. An element is the q of a piece or one tile of 64 keys; K and V are the same bytes, and P
// takes the place of the rope block, which only S needs. The first thread of output warpgroup 0
// loads an element while its own wgmma wait.
//
// Cluster of two (128 heads): both blocks need the same latent. Each loads one of a tile's two
// parts for both, in turn, so L2 is read once: 625 TFLOP/s, 473 without. Which cluster does what:
// balanced_split.hpp.
//
// What it reaches (H200, reports/h200-sxm-141gb/decode_tma.csv): 128 heads 624 to 656 TFLOP/s, 64
// heads 3.97 TB/s. By stall samples a tile takes about 3200 cycles: S 1400, softmax 1150, the rest
// waits for the tile and starts wgmma; the scores warpgroup is the critical path. Tried and slower:
// P·C beside S instead of under the softmax (-9 %), S in two halves of 32 keys so that a softmax
// runs under the next S (-24 %: m64n32k16 cannot keep the tensor cores busy), an L2 prefetch of
// whole tiles (-6 %).
#pragma once
#include "kernels/hopper/mla/output.cuh"
#include "kernels/hopper/mla/scores.cuh"
#include "kernels/hopper/mla/widen.cuh"

namespace kvroof::kernels::mla {

template <int kCluster>
__global__ void __launch_bounds__(kThreads, 1) decode(const __grid_constant__ Params p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL  // wgmma and setmaxnreg exist on sm_90a alone
  extern __shared__ __align__(1024) std::uint8_t raw[];
  auto& smem = *reinterpret_cast<Smem*>(raw);
  if (threadIdx.x == 0) {
    for (auto& parts : smem.full)
      for (Mbarrier& full : parts) full.init(1);
    for (Mbarrier& used : smem.used) used.init(8 * kCluster);
    fence_barrier_init();
  }
  if constexpr (kCluster > 1) cluster_sync();
  else __syncthreads();
  const int warpgroup = warpgroup_index();
  if (warpgroup == 0) {
    take_registers<184>();
    scores<kCluster>(smem, p);
  } else {
    give_back_registers<160>();
    output<BySelf<kCluster>>(smem, p, warpgroup - 1);
  }
  if constexpr (kCluster > 1) {
    __syncwarp();
    cluster_sync();  // no block leaves while another may still write to it
  }
#endif
}

/// The same over an FP8 latent: widen.cuh.
__global__ void __launch_bounds__(512, 1) decode_fp8(const __grid_constant__ WidenedParams w) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) std::uint8_t raw[];
  auto& smem = *reinterpret_cast<WidenedSmem*>(raw);
  if (threadIdx.x == 0) {
    smem.q_full.init(1), smem.q_used.init(4);
    for (Mbarrier& full : smem.full) full.init(128);
    for (Mbarrier& used : smem.used) used.init(8);
    fence_barrier_init();
  }
  __syncthreads();
  const int warpgroup = warpgroup_index();
  if (warpgroup == 0) {
    give_back_registers<104>();
    scores_of_widened(smem, w.p);
  } else if (warpgroup == 3) {
    give_back_registers<88>();
    widen(smem, w);
  } else {
    take_registers<160>();
    output<ByWidening>(smem, w.p, warpgroup - 1);
  }
#endif
}

}  // namespace kvroof::kernels::mla
