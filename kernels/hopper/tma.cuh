// TMA: tiles of a tensor in global memory, copied by the copy engine into swizzled shared memory.
//
// A tensor [b, h, s, d] is described as {c, s, d / c, h, b} with c = 128 bytes of elements, so that
// one copy brings a tile [d / c][rows][c] in the layout of descriptor.cuh, and reads past the end
// of s give zeros without touching the next head.
#pragma once
#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/check.hpp"
#include "kernels/hopper/mbarrier.cuh"

namespace kvroof::kernels::hopper {

/// cuTensorMapEncodeTiled, found at run time: no link against libcuda.
inline PFN_cuTensorMapEncodeTiled_v12000 encode_function() {
  static const auto encode = [] {
    void* f = nullptr;
    cudaDriverEntryPointQueryResult found{};
    CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000,
                                                cudaEnableDefault, &found));
    if (found != cudaDriverEntryPointSuccess) throw std::runtime_error("no cuTensorMapEncodeTiled");
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(f);
  }();
  return encode;
}

/// A tensor [b, h, s, d] in global memory; strides in elements, d contiguous.
struct Tensor4 {
  const void* data = nullptr;
  std::int64_t b = 1, h = 1, s = 1, d = 1;
  std::int64_t stride_b = 0, stride_h = 0, stride_s = 0;
};

/// Contiguous [b, h, s, d].
inline Tensor4 contiguous(const void* data, std::int64_t b, std::int64_t h, std::int64_t s,
                          std::int64_t d) {
  return {data, b, h, s, d, h * s * d, s * d, d};
}

/// Tile of `rows` positions of one head and `columns` of d (0: all); element_bytes 2 or 1; rows of
/// `span` bytes, the swizzle's width. `promotion`: what L2 fetches at a miss. 256 bytes suit tiles
/// that neighbours read soon after; a stream from HBM wants 128: with 256, counters show 1.25
/// sectors for each that is needed, and reads stop at 4.16 TB/s instead of 4.64 (H200).
inline CUtensorMap tile_map(const Tensor4& t, CUtensorMapDataType type, int element_bytes, int rows,
                            int columns = 0, int span = 128,
                            CUtensorMapL2promotion promotion = CU_TENSOR_MAP_L2_PROMOTION_L2_256B) {
  const auto e = static_cast<cuuint64_t>(element_bytes);
  const cuuint64_t c = static_cast<cuuint64_t>(span) / e;
  const cuuint64_t d = static_cast<cuuint64_t>(t.d);
  if (d % c != 0)
    throw std::invalid_argument("head size " + std::to_string(t.d) + " is no multiple of " +
                                std::to_string(c));
  const cuuint64_t sizes[] = {c, static_cast<cuuint64_t>(t.s), d / c, static_cast<cuuint64_t>(t.h),
                              static_cast<cuuint64_t>(t.b)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(t.stride_s) * e, c * e,
                                static_cast<cuuint64_t>(t.stride_h) * e,
                                static_cast<cuuint64_t>(t.stride_b) * e};
  const cuuint32_t box[] = {
      static_cast<cuuint32_t>(c), static_cast<cuuint32_t>(rows),
      static_cast<cuuint32_t>((columns > 0 ? static_cast<cuuint64_t>(columns) : d) / c), 1, 1};
  const cuuint32_t steps[] = {1, 1, 1, 1, 1};
  CUtensorMap map{};
  const CUresult r = encode_function()(&map, type, 5, const_cast<void*>(t.data), sizes, strides,
                                       box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                       span == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                                       : span == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                                    : CU_TENSOR_MAP_SWIZZLE_32B,
                                       promotion, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (r != CUDA_SUCCESS)
    throw std::runtime_error("cuTensorMapEncodeTiled: error " + std::to_string(r));
  return map;
}

__device__ __forceinline__ void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

/// `bytes` (a multiple of 16) into L2, ahead of their load.
__device__ __forceinline__ void prefetch_l2(const void* from, int bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
}

/// Rows [row, row + box) of head (h, b), from the `block`-th swizzle span of d on -> `tile`; `full`
/// counts the bytes. One thread calls it.
__device__ __forceinline__ void load_tile(void* tile, const CUtensorMap& map, Mbarrier& full,
                                          int row, int h, int b, int block = 0) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %7, %5, %6}], [%2];" ::"r"(shared_address(tile)),
      "l"(&map), "r"(shared_address(&full)), "r"(0), "r"(row), "r"(h), "r"(b), "r"(block)
      : "memory");
}

/// The same for what is read once: these lines leave L2 first.
__device__ __forceinline__ void load_tile_once(void* tile, const CUtensorMap& map, Mbarrier& full,
                                               int row, int h, int b) {
  std::uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%3, %4, %3, %5, %6}], [%2], %7;" ::"r"(shared_address(tile)),
      "l"(&map), "r"(shared_address(&full)), "r"(0), "r"(row), "r"(h), "r"(b), "l"(policy)
      : "memory");
}

/// `tile` -> rows [row, row + box) of head (h, b); rows past the end are dropped. Ordinary writes
/// to the tile need fence_proxy_async() and a barrier before it.
__device__ __forceinline__ void store_tile(const CUtensorMap& map, const void* tile, int row, int h,
                                           int b) {
  asm volatile(
      "cp.async.bulk.tensor.5d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %2, %4, %5}], "
      "[%1];" ::"l"(&map),
      "r"(shared_address(tile)), "r"(0), "r"(row), "r"(h), "r"(b)
      : "memory");
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/// All stores of this thread have read their tiles: shared memory may be written again.
__device__ __forceinline__ void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

}  // namespace kvroof::kernels::hopper
