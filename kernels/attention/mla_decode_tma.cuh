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
// What it reaches (128 heads, 64 requests of 32K): 651 TFLOP/s from a cool chip at 1980 MHz, 566 in
// a steady run, where the 700 W limit takes the clock to 1515 MHz: 66 % of what wgmma alone keeps
// then (864 TFLOP/s at 1785 MHz), 69 % of the tensor peak at its own clock. Two things bound it.
//
//   power    A schedule with 5 % fewer cycles a tile (2980) ran at a 4 % lower clock: +1.3 %.
//   chain    By stall samples and clock stamps a tile takes 3150 cycles. A warp's queue of wgmma is
//            short, so that issuing S takes as long as S; while P·C runs, S gets about a fifth of
//            the tensor cores (wgmma of all warpgroups take turns, n256 beside n64). Both free
//            running take 2253 cycles. What is lost: P·C starts late after S, and output
//            warpgroup 0, which also loads, needs 1000 cycles to refill the ring.
//
// A warp of its own for the loads has no registers: 13 warps start with 152 each, and 128
// accumulators take 154 at least. Tried and slower, or no faster: P·C beside S instead of under the
// softmax (-9 %), S in two halves of 32 keys so that a softmax runs under the next S (-24 %:
// m64n32k16 cannot keep the tensor cores busy), an L2 prefetch of whole tiles (-6 %), P handed over
// before the next S is issued and P·C released with S still queued (+1.3 % at 128 heads, -7 % at
// 64), refills one tile late (-1 %).
//
// racecheck reports hazards on smem.step between scores and output, in both directions. They are
// ordered by bar.arrive of the writers and bar.sync of the readers (kPFull) and back (kStepRead),
// the producer and consumer pattern of the PTX ISA ("bar, barrier"), which the tool does not follow
// for bar.arrive: 1579 entries over three small shapes, every address inside smem.step.
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
