// The engines of the two roles that are one thread each: copies by TMA, products by tcgen05.mma.
#pragma once
#include "kernels/blackwell/forward/tile.cuh"
#include "kernels/blackwell/mma.cuh"

namespace kvroof::kernels::blackwell::forward {

template <bool kCausal>
struct LoadEngine : Block<kCausal> {
  using Block<kCausal>::p, Block<kCausal>::smem;

  __device__ __forceinline__ void load_q(int t) {
    hopper::Mbarrier& full = this->barrier(Barrier::q_full, t);
    full.arrive_expect(kTileBytes);
    hopper::load_tile_once(smem.q[t], p.q, full, this->row + t * kRows, this->h, this->b);
  }
  __device__ __forceinline__ void load_k(int stage, int j) { load_kv(p.k, stage, j); }
  __device__ __forceinline__ void load_v(int stage, int j) { load_kv(p.v, stage, j); }

  __device__ __forceinline__ void load_kv(const CUtensorMap& map, int stage, int j) {
    hopper::Mbarrier& full = this->barrier(Barrier::kv_full, stage);
    full.arrive_expect(kTileBytes);
    hopper::load_tile(smem.kv[stage], map, full, j * kKeys, this->h / p.group, this->b);
  }
};

template <bool kCausal>
struct MultiplyEngine : Block<kCausal> {
  Operands at;

  __device__ __forceinline__ MultiplyEngine(const Block<kCausal>& block)
      : Block<kCausal>(block),
        at(operands({block.smem.tensor_memory}, hopper::shared_address(block.smem.q),
                    hopper::shared_address(block.smem.kv))) {}

  __device__ __forceinline__ void commit(Barrier which, int copy) {
    blackwell::commit(this->barrier(which, copy));
  }
  /// S_t = Q_t · K^T
  __device__ __forceinline__ void scores(int t, int stage) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const ScoresStep x = scores_step(at, t, stage, i);
      mma::ss(x.d, x.a, x.b, kScoresShape, i > 0);
    }
  }
  /// O_t (+)= P_t · V
  __device__ __forceinline__ void output(int t, int stage, bool accumulate) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const OutputStep x = output_step(at, t, stage, i);
      mma::ts(x.d, x.a, x.b, kOutputShape, accumulate || i > 0);
    }
  }
};

}  // namespace kvroof::kernels::blackwell::forward
