// Where the keys of a warp's tiles lie in the cache: computed, or behind a block table.
#pragma once
#include "kernels/split_kv.hpp"

namespace kvroof::kernels {

/// Row numbers of a warp's keys, tile by tile: next() gives lane j key j's of the next tile.
template <class T, class Rows>
struct ComputedRows {
  Rows rows;  // of a key's index: its row number in k and v
  int key = 0;
  __device__ void start(int first) { key = first; }
  __device__ __forceinline__ int next() {
    const int j = key + threadIdx.x % 32 % T::kKeys;
    key += T::kStride;
    return rows(j);
  }
};

/// The same behind a block table. The 32 lanes hold the pages of the warp's next tiles, one each
/// (2^sub where a page is shorter than a tile), and the batch after them is on its way: a table
/// read takes longer than a tile, and one read serves many. Reads the table at once, from `likely`
/// on, so that it need not wait for the length.
template <class T>
struct PagedRows {
  PageTable table;
  int sub, key, batch, ahead, tile = 0;

  __device__ PagedRows(const PageTable& t, int likely)
      : table(t), sub(::max(0, T::kKeysLog2 - t.page_shift)) {
    read_from(likely);
  }
  __device__ void start(int first) {
    if (first != key) read_from(first);
  }
  __device__ __forceinline__ int next() {
    const int in_tile = threadIdx.x % 32 % T::kKeys;
    const int page = __shfl_sync(~0u, batch, (tile << sub) + (in_tile >> table.page_shift));
    const int row = table.row(page, key + in_tile);
    key += T::kStride;
    if (++tile == 32 >> sub) tile = 0, batch = ahead, ahead = read(key + batch_keys());
    return row;
  }

 private:
  __device__ int batch_keys() const { return (32 >> sub) * T::kStride; }
  __device__ void read_from(int first) {
    key = first, batch = read(first), ahead = read(first + batch_keys());
  }
  /// The page that this lane holds of the batch of tiles from key `from` on.
  __device__ __forceinline__ int read(int from) const {
    const int lane = threadIdx.x % 32, page_of_tile = lane & ((1 << sub) - 1);
    const int j = from + (lane >> sub) * T::kStride + (page_of_tile << table.page_shift);
    return j < table.longest ? table.pages[j >> table.page_shift] : 0;
  }
};

/// The walk of this warp; start() it at its first key. `likely` is where that lies if the request
/// is one of the longest.
template <class T>
__device__ __forceinline__ auto walk_rows(const DenseCache& cache, int request, int kv_head, int) {
  const auto rows = cache.rows(request, kv_head);
  return ComputedRows<T, decltype(rows)>{rows};
}
template <class T>
__device__ __forceinline__ auto walk_rows(const PagedCache& cache, int request, int kv_head,
                                          int likely) {
  return PagedRows<T>(cache.pages(request, kv_head), likely);
}

}  // namespace kvroof::kernels
