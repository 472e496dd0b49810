// Clusters: thread blocks on neighbouring SMs that reach each other's shared memory, and TMA loads
// that land in all of them at once: L2 is read once for the whole cluster.
#pragma once
#include "kernels/hopper/tma.cuh"

namespace kvroof::kernels::hopper {

__device__ __forceinline__ int cluster_rank() {
  std::uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}

/// All threads of all blocks of the cluster meet; shared memory of each is visible to the others.
__device__ __forceinline__ void cluster_sync() {
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}

/// arrive() on the barrier that lies at the same place in block `rank` of the cluster
__device__ __forceinline__ void arrive_at(Mbarrier& barrier, int rank) {
  asm volatile(
      "{\n.reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n}" ::"r"(shared_address(&barrier)),
      "r"(rank)
      : "memory");
}

/// What lies at the same place in block `rank` of the cluster; between two cluster_sync().
__device__ __forceinline__ std::uint32_t peer_address(const void* mine, int rank) {
  std::uint32_t there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(there)
               : "r"(shared_address(mine)), "r"(rank));
  return there;
}
__device__ __forceinline__ float load_peer(const float& mine, int rank) {
  float x;
  asm volatile("ld.shared::cluster.f32 %0, [%1];"
               : "=f"(x)
               : "r"(peer_address(&mine, rank))
               : "memory");
  return x;
}
__device__ __forceinline__ float4 load_peer(const float4& mine, int rank) {
  float4 x;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
               : "r"(peer_address(&mine, rank))
               : "memory");
  return x;
}

/// load_tile() into the same place of every block of the cluster whose bit is set in `blocks`; the
/// bytes count towards `full` of each.
__device__ __forceinline__ void load_tile_to(std::uint16_t blocks, void* tile,
                                             const CUtensorMap& map, Mbarrier& full, int row, int h,
                                             int b, int block) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%3, %4, %7, %5, %6}], [%2], %8;" ::"r"(shared_address(tile)),
      "l"(&map), "r"(shared_address(&full)), "r"(0), "r"(row), "r"(h), "r"(b), "r"(block),
      "h"(blocks)
      : "memory");
}

/// The same tile into L2 only, ahead of its load.
__device__ __forceinline__ void prefetch_tile(const CUtensorMap& map, int row, int h, int b,
                                              int block = 0) {
  asm volatile(
      "cp.async.bulk.prefetch.tensor.5d.L2.global.tile [%0, {%1, %2, %5, %3, %4}];" ::"l"(&map),
      "r"(0), "r"(row), "r"(h), "r"(b), "r"(block)
      : "memory");
}

}  // namespace kvroof::kernels::hopper
