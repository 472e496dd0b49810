// Cascade decode: the prefix that all requests share is attended to once.
//                                                               model: model/attention/cascade.cpp
//   q, o [b, s_q, h_q, d]   k, v [pages, h_kv, page, d]   bf16   table [b, max_pages] int32
//   the first prefix / page entries of every row of the table name the same pages
// Three kernels (arXiv:2501.01005, section 3.1.2):
//   prefix   one block per (split of the prefix, kM packed rows, K/V head): packed row i is head
//            kv_head·G + i % G of token i / G of the whole batch, so the b·s_q·G rows of a K/V head
//            fill tiles of the prefill loop (kernels/flash_loop.cuh) and read the prefix together
//   suffix   the loop of paged_decode (kernels/split_kv.cuh) over each request's own pages
//   merge    O = sum_i 2^(lse_i - L)·O_i / sum_i 2^(lse_i - L) over the splits of both
//            (kernels/combine.cuh)
//   HBM read   prefix K and V once, suffix K and V once, tables, q      written   o, lse, partials
//   partials   (prefix splits + suffix splits)·(d + 1) fp32 a query row, handed over in L2
#include <algorithm>
#include <bit>
#include <numeric>
#include <random>

#include "kernels/attention/entries.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/check.hpp"
#include "kernels/combine.cuh"
#include "kernels/divisor.cuh"
#include "kernels/flash_tiles.cuh"
#include "kernels/split_kv.cuh"
#include "model/attention/cascade.hpp"
#include "model/attention/split_kv.hpp"

namespace kvroof::kernels {
namespace {

struct CascadeParams {
  SplitParams prefix, suffix;  // each with its own splits, and the parts of both
  PagedCache cache;            // lengths: of the suffixes
  int shared;                  // pages of the prefix
  Divisor group, heads;        // h_q / h_kv and h_kv
  Divisor prefix_splits, suffix_splits;

  __device__ int prefix_tokens() const { return shared << cache.page_shift; }
};

/// Rows of the shared pages of one K/V head.
struct SharedRows {
  const bf16 *k, *v;
  const int* pages;
  int page_shift, h_kv, kv_head, d;
  __device__ std::int64_t element(int j) const {
    const int in_page = j & ((1 << page_shift) - 1);
    return ((static_cast<std::int64_t>(pages[j >> page_shift]) * h_kv + kv_head << page_shift) +
            in_page) *
           d;
  }
  __device__ const bf16* k_row(int j) const { return k + element(j); }
  __device__ const bf16* v_row(int j) const { return v + element(j); }
};

/// Tiles [begin, end) of kN keys; only the last of the prefix can be ragged.
template <int kN>
struct RangeTiles {
  int begin, end, s_kv;
  __device__ int count() const { return end - begin; }
  __device__ int tile(int i) const { return begin + i; }
  __device__ bool plain(int tile) const { return (tile + 1) * kN <= s_kv; }
  template <int kTiles>
  __device__ __forceinline__ void mask(float (&s)[kTiles][4], int tile, int, int key) const {
#pragma unroll
    for (int t = 0; t < kTiles; ++t)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (tile * kN + key + 8 * t + e % 2 >= s_kv) s[t][e] = -INFINITY;
  }
};

template <class T>
__global__ __launch_bounds__(T::kThreads, T::kCtasPerSm) void attend_prefix(const CascadeParams p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<FlashSmem<T>*>(shared);
  const SplitParams& x = p.prefix;
  const int split = blockIdx.x, first_row = blockIdx.y * T::kM, kv_head = blockIdx.z;
  const int group = p.group.divisor, rows = ::min(T::kM, x.b * x.s_q * group - first_row);
  const int prefix = p.prefix_tokens();
  const int2 range = share_of((prefix + T::kN - 1) / T::kN, split, p.prefix_splits);
  const RangeTiles<T::kN> tiles{range.x, range.y, prefix};
  const auto row = [&](int r) -> std::int64_t {  // number of the row in q and o
    const int token = p.group.quotient(first_row + r);
    return static_cast<std::int64_t>(token) * x.h_q + kv_head * group +
           p.group.remainder(first_row + r, token);
  };
  const SharedRows kv{p.cache.k, p.cache.v, p.cache.table, p.cache.page_shift,
                      x.h_kv,    kv_head,   T::kD};
  const float scale = x.scale * 1.4426950408889634f;  // exponents to base 2

  FlashWarp<T> w;
  flash_loop<T>(
      w, smem, 0, rows, [&](int r) { return x.q + row(r) * T::kD; }, kv, prefix, tiles, scale);

  // O / l and lse to this split's place, fp32: a quad of lanes fills whole sectors.
  const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16 * T::kRowTiles;
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = warp_row + 16 * m + 8 * half + lane / 4;
      if (r >= rows) continue;
      const std::int64_t part = row(r) * x.parts + split;
      const float inverse = w.softmax[m].inverse_sum(half);
      if (lane % 4 == 0) x.part_lse2[part] = w.softmax[m].lse2(half, scale);
      float* o = x.part_o + part * T::kD + 2 * (lane % 4);
#pragma unroll
      for (int t = 0; t < T::kColTiles; ++t)
        *reinterpret_cast<float2*>(o + 8 * t) =
            make_float2(w.o[m][t][2 * half] * inverse, w.o[m][t][2 * half + 1] * inverse);
    }
}

/// One block per (split, 16 packed rows and K/V head, request): the loop of paged_decode.
template <class T>
__global__ __launch_bounds__(T::kThreads, T::kCtasPerSm) void attend_suffix(const CascadeParams p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<SplitSmem<T>*>(shared);
  const SplitParams& x = p.suffix;
  PagedCache cache = p.cache;
  cache.table += p.shared;

  const int split = blockIdx.x, request = blockIdx.z, tile = p.heads.quotient(blockIdx.y);
  const int kv_head = p.heads.remainder(blockIdx.y, tile), first = tile * T::kRows;
  const PackedRows rows{p.group, request, kv_head, first,
                        ::min(T::kRows, x.s_q * p.group.divisor - first)};
  const int own = threadIdx.x / 32 * T::kKeys;
  const int likely = split_range<T>(cache.longest(), split, p.suffix_splits).x + own;
  auto walk = walk_rows<T>(cache, request, kv_head, likely);
  const int length = cache.length(request), diagonal = length - x.s_q;
  const int2 range = split_range<T>(length, split, p.suffix_splits);
  walk.start(range.x + own);
  const float scale = x.scale * 1.4426950408889634f;  // exponents to base 2

  float o[T::kColTiles][4] = {};
  OnlineSoftmax softmax;
  auto& mine = smem.warp[threadIdx.x / 32];
  split_loop<T>(
      o, softmax, mine,
      [&](int r) { return r < rows.count ? x.q + rows.row(x, r) * T::kD : nullptr; }, cache.k,
      cache.v, walk, range.x, range.y, [&](int j, int n) { return j + n <= diagonal + 1; },
      [&](int r, int j) { return j <= diagonal + rows.token(r); }, scale);
  allow_next_kernel();
  publish<T>(mine.result, o, softmax, scale);
  store_merged<T>(x, rows, smem);
}

/// f.operator()<d>() for the head sizes that exist; with_flash_tile has refused the others.
template <class F>
void with_head_size(int d, const F& f) {
  if (d == 64) f.template operator()<64>();
  else if (d == 128) f.template operator()<128>();
  else f.template operator()<256>();
}

template <class Kernel>
void allow_shared_memory(const Kernel& kernel, int bytes) {
  CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
}

void launch_cascade(const CascadeParams& p, int d, cudaStream_t stream) {
  const SplitParams& x = p.prefix;
  const int rows = x.s_q * p.group.divisor;  // of a request and K/V head
  with_flash_tile(d, x.b * rows, [&]<class T>() {
    static const bool once = (allow_shared_memory(attend_prefix<T>, sizeof(FlashSmem<T>)), true);
    static_cast<void>(once);
    const dim3 grid(p.prefix.splits, (x.b * rows + T::kM - 1) / T::kM, x.h_kv);
    attend_prefix<T><<<grid, T::kThreads, sizeof(FlashSmem<T>), stream>>>(p);
  });
  with_head_size(d, [&]<int kD>() {
    using T = DecodeTile<kD>;
    static const bool once = (allow_shared_memory(attend_suffix<T>, sizeof(SplitSmem<T>)), true);
    static_cast<void>(once);
    const dim3 grid(p.suffix.splits, (rows + T::kRows - 1) / T::kRows * x.h_kv, x.b);
    attend_suffix<T><<<grid, T::kThreads, sizeof(SplitSmem<T>), stream>>>(p);
  });
  CUDA_CHECK(cudaGetLastError());
}

/// Pages of the batch in any order; the first `shared` of every request are those of request 0.
std::vector<int> shared_table(std::int64_t b, int pages, int shared) {
  std::vector<int> pool(static_cast<std::size_t>(shared + b * (pages - shared)));
  std::iota(pool.begin(), pool.end(), 0);
  std::shuffle(pool.begin(), pool.end(), std::mt19937_64(fresh_seed()));
  std::vector<int> table;
  for (std::int64_t r = 0; r < b; ++r)
    for (int i = 0; i < pages; ++i)
      table.push_back(pool[static_cast<std::size_t>(i < shared ? i : r * (pages - shared) + i)]);
  return table;
}

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  AttentionData data = decode_data(x, args);
  reference::Attention& c = data.call;
  const auto page = static_cast<std::uint32_t>(arg(args, "block_size", 16));
  // Engines share whole pages; what is left of the prefix belongs to each request.
  const auto longest = static_cast<std::uint32_t>(x.s_kv - x.s_q);
  const auto wanted = std::min(static_cast<std::uint32_t>(arg(args, "prefix", 0)), longest);
  const int shared = static_cast<int>(wanted / page), prefix = shared * static_cast<int>(page);
  if (shared == 0) throw std::invalid_argument("cascade: no whole page of the prefix is shared");
  const int own = static_cast<int>(x.s_kv) - prefix, d = static_cast<int>(x.d_qk);
  const int pages = shared + (own + static_cast<int>(page) - 1) / static_cast<int>(page);

  const std::vector<int> table = shared_table(c.b, pages, shared);
  const std::size_t pool = static_cast<std::size_t>(shared + c.b * (pages - shared)) *
                           static_cast<std::size_t>(c.h_kv * page * c.d_qk);
  data.k = Buffer(2 * pool), data.v = Buffer(2 * pool);
  c.k_rows = {.token_stride = c.d_qk,
              .head_stride = page * c.d_qk,
              .table = table,
              .max_pages = pages,
              .page_size = static_cast<int>(page),
              .page_stride = c.h_kv * page * c.d_qk};
  c.v_rows = c.k_rows;
  refill(data);

  const std::int64_t rows = c.b * c.s_q * c.h_q / c.h_kv;  // of a K/V head
  const attention::Tile tile =
      with_flash_tile(d, rows, [&]<class T>() { return flash_model_tile<T>(); });
  AttentionShape suffix = x;
  suffix.s_kv = own;
  const attention::CascadePlan plan{
      .prefix = tile,
      .suffix = decode_kernel_tile(d),
      .prefix_splits = attention::split_count(
          {.blocks = x.h_kv * std::ceil(1.0 * static_cast<double>(rows) / tile.m),
           .key_tiles = std::ceil(1.0 * prefix / tile.n),
           .slots = 1.0 * on_chip().num_sms * tile.ctas_per_sm}),
      .suffix_splits = static_cast<double>(choose_splits(suffix, args, 2))};
  const int parts = static_cast<int>(plan.prefix_splits + plan.suffix_splits);

  Buffer partials;
  SplitParams merge = split_params(data, parts, partials);
  merge.parts = parts;
  SplitParams first = merge, second = merge;
  first.splits = static_cast<int>(plan.prefix_splits);
  second.splits = static_cast<int>(plan.suffix_splits);
  second.part_o += std::int64_t{first.splits} * d, second.part_lse2 += first.splits;

  const Buffer device_table = to_device(table);
  const Buffer own_lengths = to_device(std::vector<int>(static_cast<std::size_t>(c.b), own));
  const CascadeParams p{
      .prefix = first,
      .suffix = second,
      .cache = {data.k.as<bf16>(), data.v.as<bf16>(), device_table.as<int>(), own_lengths.as<int>(),
                pages, std::countr_zero(page), static_cast<int>(c.h_kv), own},
      .shared = shared,
      .group = Divisor(static_cast<int>(c.h_q / c.h_kv)),
      .heads = Divisor(static_cast<int>(c.h_kv)),
      .prefix_splits = Divisor(first.splits),
      .suffix_splits = Divisor(second.splits)};
  const auto launch = [=, keep = std::vector{data.q, data.k, data.v, data.o, data.lse, partials,
                                             device_table, own_lengths}](cudaStream_t stream) {
    launch_cascade(p, d, stream);
    launch_combine(merge, d, stream);
  };
  const attention::Cost cost = attention::cascade(x, {}, on_chip(), prefix, page, plan);
  const auto op_of = [](const attention::Cost& part) {
    return attention_op("cascade", OpClass::decode_attention, part);
  };
  auto [first_level, second_level, last] =
      attention::cascade_kernels(x, {}, on_chip(), prefix, page, plan);
  // The prefix's blocks are one wave and end together: nothing hides the stores of their results. A
  // quad of lanes stores 32 bytes of a row, and a slice of L2 spends a cycle on each such request
  // that could carry 64.
  Op stores{.name = "cascade", .op_class = OpClass::decode_attention};
  std::swap(stores.work.written.activations, first_level.work.written.activations);
  stores.work.written.activations = 2 * stores.work.written.activations;
  const std::vector<Op> stages{op_of(first_level), stores, op_of(second_level), op_of(last)};
  return {.name = "cascade " + shape_name(x) + " prefix" + std::to_string(prefix) + " splits" +
                  std::to_string(first.splits) + "+" + std::to_string(second.splits),
          .op = op_of(cost),
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); },
          .kernels_per_launch = 3,
          .stages = stages};
}

}  // namespace

Entry cascade_entry() {
  const auto shape = [](double b, double h_q, double prefix, double own, double d) {
    return Args{{"b", b},           {"h_q", h_q},           {"h_kv", 8},
                {"prefix", prefix}, {"s_kv", prefix + own}, {"d", d}};
  };
  return {.name = "cascade",
          .title = "decode over a shared prefix: once for the batch, then each request's own",
          .shapes =
              {shape(8, 32, 512, 64, 128),     // 4 MB of cache: L2
               shape(32, 32, 2048, 128, 128),  // 25 MB
               shape(64, 32, 2048, 256, 128),  // 75 MB
               shape(64, 32, 8192, 512, 128),  // 168 MB
               shape(64, 64, 8192, 512, 128),
               shape(32, 32, 32768, 256, 128),
               shape(128, 32, 4096, 1024, 128),
               shape(256, 32, 1024, 512, 128),
               shape(16, 64, 131072, 64, 128),
               shape(64, 32, 2000, 48, 128),
               shape(64, 32, 8192, 1024, 64),
               shape(32, 16, 8192, 1024, 256),
               {{"b", 32}, {"h_q", 32}, {"h_kv", 8}, {"s_q", 4}, {"prefix", 8192}, {"s_kv", 8704}}},
          .make = make};
}

}  // namespace kvroof::kernels
