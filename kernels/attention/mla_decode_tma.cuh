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
// What it reaches (128 heads, 64 requests of 32K): 659 TFLOP/s in a launch after rest, 574 in a
// steady run at 700 W. m64n256k16 alone keeps 853 then (ceilings); what reads the latent cannot:
// the products of this kernel without its softmax (tests/bench/mla_streams.cu) reach
//
//                    single  steady   TFLOP/s; cycles a tile
//   tiles stay          867     834   2240
//   tiles from L2       823     777   2304
//   tiles from HBM      765     662   2303; with O_j after S_j+1, as here, 655 and 2335
//   the kernel          659     574   2870; 87 % of the products from HBM
//
//   power    Bringing the tiles in takes a fifth of the steady rate. Where q and P lie does not
//            matter: S and O with either operand in registers or in shared memory keep 828 to 844.
//            A schedule with 5 % fewer cycles ran at a 4 % lower clock: +1.3 %.
//   chain    By clock stamps (which cost 12 %) a tile is 1390 cycles of S, then 1870 until the next
//            S starts: softmax, P and step 1290, barrier 136, fence 130, next tile and loop 320.
//            P·C needs 1200 of these, so that the tensor cores rest for a fifth of a tile. The
//            softmax is 200 instructions of one warp a scheduler, whose latency nothing hides; its
//            ex2 would need 256 cycles. With all tiles in L2 the stamps are the same.
//
// A warp of its own for the loads has no registers: 13 warps start with 152 each, and 128
// accumulators take 154 at least. Tried and slower, or no faster: P·C beside S instead of under the
// softmax (-9 %), S in two halves of 32 keys so that a softmax runs under the next S (-24 %:
// m64n32k16 cannot keep the tensor cores busy), an L2 prefetch of whole tiles (-6 %), P handed over
// before the next S is issued and P·C released with S still queued (+1.3 % at 128 heads, -7 % at
// 64), refills one tile late (-1 %), step and fence under the next S (-7 %: P·C starts 350 cycles
// late), looking for the maximum of a row only where a thread has found a higher one (0 %).
//
// racecheck reports hazards on smem.step between scores and output, in both directions: 1579
// entries over three small shapes, every address inside smem.step. They are ordered by bar.arrive
// of one side and bar.sync of the other (kPFull, and back kStepRead), which the tool does not
// follow: it also reports the producer and consumer of the PTX ISA ("bar, barrier") on one word,
// tests/bench/racecheck_hand_over.cu. With mbarriers instead, at which every thread of the giving
// side arrives, it reports nothing, and the kernel is 3 to 4 % slower in single launches, 1 to 4 %
// in steady ones. It still reports with one arrival a warp, and with P left to bar.arrive.
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
