// Split-KV decode as hosts see it: parameters, the two kinds of cache, launches.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/attention_case.hpp"
#include "model/attention/variant.hpp"

namespace kvroof::kernels {

/// What every split-KV kernel is given, whatever its cache.
///   q, o [b, s_q, h_q, d] bf16   lse [b, s_q, h_q] fp32 (natural logarithm) or null
///   part_o [b, s_q, h_q, splits, d] fp32   part_lse2 [b, s_q, h_q, splits] fp32:
///     used if splits > 1
struct SplitParams {
  const __nv_bfloat16* q;
  __nv_bfloat16* o;
  float *lse, *part_o, *part_lse2;
  int b, h_q, h_kv, s_q, splits;
  float scale;    // 1 / sqrt(d)
  int parts = 0;  // partial results of a query row, if others than these splits add to them
};

/// K and V rows in one regular array; strides in rows. s_kv keys, the newest last; or, with a
/// window, the `sinks` first of them and the `window` newest (s_q = 1).
struct DenseCache {
  const __nv_bfloat16 *k, *v;
  int s_kv;
  int request_rows, head_rows, token_rows;
  int window = 0, sinks = 0;

  __host__ __device__ int length(int) const {
    return window > 0 && window + sinks < s_kv ? window + sinks : s_kv;
  }
  __host__ __device__ int longest() const { return length(0); }
  __device__ auto rows(int request, int kv_head) const {
    const int base = request * request_rows + kv_head * head_rows, step = token_rows;
    const int skipped = s_kv - length(request), kept = skipped > 0 ? sinks : s_kv;
    return [=](int j) { return base + (j < kept ? j : j + skipped) * step; };
  }
};

/// k, v [b, h_kv, s_kv, d].
DenseCache contiguous_cache(const Buffer& k, const Buffer& v, std::int64_t h_kv, std::int64_t s_kv);

/// Where the rows of one request and K/V head lie in pages of 2^page_shift tokens.
struct PageTable {
  const int* pages;                        // of the request
  int page_shift, longest, h_kv, kv_head;  // entries of keys below `longest` exist
  __device__ int row(int page, int j) const {
    return ((page * h_kv + kv_head) << page_shift) + (j & ((1 << page_shift) - 1));
  }
};

/// K and V in pages [num_pages, h_kv, 2^page_shift, d]; token j of a request is token j % page of
/// the page table[request, j / page]. No request is longer than `max_length`, which engines know on
/// the host; it is a guess of where splits begin,
/// wrong for shorter requests at the cost of a look-up.
struct PagedCache {
  const __nv_bfloat16 *k, *v;
  const int *table, *lengths;  // table [b, max_pages], lengths [b]
  int max_pages, page_shift, h_kv, max_length;

  __host__ __device__ int longest() const { return max_length; }
  __device__ int length(int request) const { return lengths[request]; }
  __device__ PageTable pages(int request, int kv_head) const {
    return {table + static_cast<std::int64_t>(request) * max_pages, page_shift, max_length, h_kv,
            kv_head};
  }
};

/// log2 of a page's tokens; throws std::invalid_argument unless they are a power of two.
int page_shift(int page);

/// Attention over the cache, then the combine kernel if there are splits. d is 64, 128 or 256.
void launch_split(const SplitParams&, const DenseCache&, int d, cudaStream_t);
void launch_split(const SplitParams&, const PagedCache&, int d, cudaStream_t);
/// part_o, part_lse2 -> o, lse; also for d 512.
void launch_combine(const SplitParams&, int d, cudaStream_t);

/// The tile of a decode kernel as the model counts it.
attention::Tile decode_kernel_tile(int d);
/// The GPU of this process as the split rule sees it.
attention::OnChip on_chip();
/// Whether a decode kernel over so many bytes of K and V should be set up while the kernel before
/// it ends (sm_90 and later). That gains a microsecond, but blocks then take SMs as these come
/// free: of 132, the four that 128 blocks leave without work lie anywhere, and an H200 reads up to
/// 2 % slower than with them where a launch of its own leaves them.
bool starts_early(std::size_t cache_bytes);
/// Splits by the model's rule, or what args name as "splits"; so that `blocks_per_sm` blocks share
/// an SM. One keeps HBM busy.
int choose_splits(const AttentionShape&, const Args&, int blocks_per_sm = 1);

/// A decode Case's parameters over its buffers; `partials` receives the room for partial results.
SplitParams split_params(const AttentionData&, int splits, Buffer& partials);

}  // namespace kvroof::kernels
