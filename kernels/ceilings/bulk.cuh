// cp.async.bulk: contiguous bytes between global and shared memory, moved by the copy engine; one
// thread asks for tens of KiB. PTX ISA, "Non-tensor copy" and "Tensor copy".
#pragma once
#include <cuda.h>

#include "kernels/hopper/mbarrier.cuh"

namespace kvroof::kernels {

/// global -> shared; `bytes` (a multiple of 16) count towards `full`, which must expect them.
__device__ __forceinline__ void bulk_load(void* to, const void* from, int bytes,
                                          hopper::Mbarrier& full) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(hopper::shared_address(to)),
      "l"(from), "r"(bytes), "r"(hopper::shared_address(&full))
      : "memory");
}

/// A box of a tensor [rows, columns], from row `row` on -> shared; its bytes count towards `full`.
__device__ __forceinline__ void box_load(void* to, const CUtensorMap& map, int row,
                                         hopper::Mbarrier& full) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4}], [%2];" ::"r"(hopper::shared_address(to)),
      "l"(&map), "r"(hopper::shared_address(&full)), "r"(0), "r"(row)
      : "memory");
}

/// Tiles that lie one behind the other, each copied as it lies.
struct Contiguous {
  const char* data;
  __device__ __forceinline__ void load(void* to, long long tile, int bytes,
                                       hopper::Mbarrier& full) const {
    bulk_load(to, data + tile * bytes, bytes, full);
  }
};

constexpr int kBoxRow = 128;  // bytes; the width of the widest swizzle

/// The same tiles as boxes of a tensor [rows, kBoxRow].
struct Boxes {
  CUtensorMap map;
  __device__ __forceinline__ void load(void* to, long long tile, int bytes,
                                       hopper::Mbarrier& full) const {
    box_load(to, map, static_cast<int>(tile * (bytes / kBoxRow)), full);
  }
};

/// shared -> global, as one bulk group of this thread.
__device__ __forceinline__ void bulk_store(void* to, const void* from, int bytes) {
  asm volatile(
      "cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;\n"
      "cp.async.bulk.commit_group;" ::"l"(to),
      "r"(hopper::shared_address(from)), "r"(bytes)
      : "memory");
}

/// Returns once all but the newest kPending groups have read their shared memory.
template <int kPending>
__device__ __forceinline__ void wait_bulk_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}
/// Returns once all groups have written.
__device__ __forceinline__ void wait_bulk_written() {
  asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

}  // namespace kvroof::kernels
