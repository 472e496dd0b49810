// Shared memory, parameters and the place of a block in the forward pass for sm_100a; the part of
// the engine (protocol.hpp) that all roles share.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/blackwell/forward/products.hpp"
#include "kernels/blackwell/forward/protocol.hpp"
#include "kernels/blackwell/synchronise.cuh"
#include "kernels/blackwell/tensor_memory.cuh"
#include "kernels/hopper/forward/schedule.cuh"
#include "kernels/hopper/tma.cuh"

namespace kvroof::kernels::blackwell::forward {

using Bf16 = __nv_bfloat16;
inline constexpr int kPairRows = kTiles * kRows;
using TileBits = Bf16[kD / kBlockColumns][kRows][kBlockColumns];
static_assert(sizeof(TileBits) == kTileBytes);

struct Smem {
  alignas(1024) TileBits q[kTiles];
  alignas(1024) TileBits kv[kStages];
  float2 note[kTiles][kRows];  // softmax to correction: {growth, 0}, at the end {sum, base}
  hopper::Mbarrier barriers[kBarrierCount];
  std::uint32_t tensor_memory;
};

struct Params {
  CUtensorMap q, k, v;
  Bf16* o;
  float* lse;                                       // nullptr: not wanted
  std::int64_t o_stride_b, o_stride_h, o_stride_s;  // elements
  int s_q, s_kv, h_q, group;                        // group = h_q / h_kv
  float scale_log2;                                 // scale · log2(e)
  int pairs;                                        // of query tiles, per head
  int heads;                                        // b · h_q
  int section;  // heads whose K/V stay in L2 together: flash_v3::section_heads
};

/// begin(), key_tiles() and wait() of a role's engine.
template <bool kCausal>
struct Block {
  const Params& p;
  Smem& smem;
  int b = 0, h = 0, row = 0;  // request, head and first query of the pair
  int keys_tiled = 0;         // tiles of keys that some row of the pair sees

  /// Longest pairs first: static turns over all blocks (Zadouri et al. 2026, arXiv:2603.05451,
  /// section 3.3).
  __device__ __forceinline__ bool begin(int w) {
    const int tile = static_cast<int>(blockIdx.x) + w * static_cast<int>(gridDim.x);
    if (tile >= p.heads * p.pairs) return false;
    const auto [head, pair] = flash_v3::row_tile(tile, p.section, p.heads, p.pairs, kCausal);
    b = head / p.h_q, h = head - b * p.h_q, row = pair * kPairRows;
    keys_tiled = ::max(1, (seen_by(row + kPairRows - 1) + kKeys - 1) / kKeys);
    return true;
  }
  __device__ __forceinline__ int key_tiles() const { return keys_tiled; }
  /// Keys that query i sees; may be negative.
  __device__ __forceinline__ int seen_by(int i) const {
    return kCausal ? ::min(p.s_kv, p.s_kv - p.s_q + 1 + i) : p.s_kv;
  }

  __device__ __forceinline__ hopper::Mbarrier& barrier(Barrier which, int copy) const {
    return smem.barriers[first_of(which) + copy];
  }
  __device__ __forceinline__ void wait(Barrier which, int copy, int phase) const {
    wait_bounded(barrier(which, copy), static_cast<std::uint32_t>(phase) & 1);
    fence_after();
  }
};

/// The same for a role that whole warps play, a row of a tile a thread. Moves from and to tensor
/// memory want all lanes together: wait() brings them together again.
template <bool kCausal>
struct WarpBlock : Block<kCausal> {
  int lane_row;        // this thread's row in a tile
  TensorAddress mine;  // column 0 of this warp's lanes

  __device__ __forceinline__ WarpBlock(const Block<kCausal>& block)
      : Block<kCausal>(block),
        lane_row(static_cast<int>(threadIdx.x) % kRows),
        mine(TensorAddress{block.smem.tensor_memory}.lanes(lane_row / 32 * 32)) {}

  __device__ __forceinline__ void wait(Barrier which, int copy, int phase) const {
    Block<kCausal>::wait(which, copy, phase);
    __syncwarp();
  }
  /// Of the warp: what all its lanes did before is done.
  __device__ __forceinline__ void arrive(Barrier which, int copy) const {
    fence_before();
    __syncwarp();
    if (threadIdx.x % 32 == 0) this->barrier(which, copy).arrive();
  }
};

}  // namespace kvroof::kernels::blackwell::forward
