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
  static constexpr int kSteps = kD / 16;  // of contraction, in both products: d and keys are 128
  TensorAddress tensor_memory;
  SharedDescriptor q0, k0, v0;  // of the first tile of Q, and of the first stage as K and as V

  __device__ __forceinline__ MultiplyEngine(const Block<kCausal>& block)
      : Block<kCausal>(block),
        tensor_memory{block.smem.tensor_memory},
        q0(k_major(hopper::shared_address(block.smem.q))),
        k0(k_major(hopper::shared_address(block.smem.kv))),
        v0(mn_major(hopper::shared_address(block.smem.kv), kKeys)) {}

  __device__ __forceinline__ void commit(Barrier which, int copy) {
    blackwell::commit(this->barrier(which, copy));
  }
  /// S_t [128 queries, 128 keys] = Q_t · K^T over d
  __device__ __forceinline__ void scores(int t, int stage) {
    constexpr std::uint32_t kShape =
        instruction_descriptor({.m = kRows, .n = kKeys, .format = Format::bf16});
    const SharedDescriptor q = q0 + t * kTileBytes, k = k0 + stage * kTileBytes;
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {  // four steps of 32 bytes fill a row, then the next block
      const int at = i / 4 * (kTileBytes / 2) + i % 4 * 32;
      mma::ss(tensor_memory.columns(scores_column(t)), q + at, k + at, kShape, i > 0);
    }
  }
  /// O_t [128 queries, d] (+)= P_t · V over keys; P_t from tensor memory
  __device__ __forceinline__ void output(int t, int stage, bool accumulate) {
    constexpr std::uint32_t kShape =
        instruction_descriptor({.m = kRows, .n = kD, .format = Format::bf16, .b = Major::mn});
    const SharedDescriptor v = v0 + stage * kTileBytes;
    const TensorAddress p = tensor_memory.columns(probabilities_column(t));
#pragma unroll
    for (int i = 0; i < kSteps; ++i)  // 16 keys are 16 rows of V
      mma::ts(tensor_memory.columns(output_column(t)), p.columns(i * columns_of_16_bits(16)),
              v + i * 16 * 128, kShape, accumulate || i > 0);
  }
};

}  // namespace kvroof::kernels::blackwell::forward
