// Requests of different lengths in one launch, nothing padded.  model: model/attention/ragged.cpp
//   O = softmax(scale · Q·K^T + mask) · V for whole prompts, chunks of prompts over what the cache
//   already holds, drafted tokens to verify, single decode tokens: request r brings
//   q_first[r + 1] - q_first[r] new tokens, the newest of its kv_first[r + 1] - kv_first[r] keys
//   q, o [tokens, h_q, d]   k, v [keys, h_kv, d]   bf16   lse [h_q, tokens] fp32
//   tree: bit j of row t tells whether new token t sees new token j (its ancestors and itself;
//   arXiv:2305.09781); rows of ⌈new / 8⌉ bytes, request r's at tree_first[r]
// One block per (request, K/V head, kM packed rows): packed row i is head kv_head·G + i % G of
// token i / G, G = h_q / h_kv, so the heads of a group share every K/V tile. The loop is that of
// flash_v2 (kernels/flash_loop.cuh). Blocks are listed on the host, requests with most keys first
// and a request's longest block first: what is left at the end is short.
//   HBM read   q, k and v once, 12 bytes a block, 8 a request, the tree      written   o, lse
//   L2 to SM   kM·d + tiles·2·kN·d elements per block
#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/attention/entries.hpp"
#include "kernels/attention_case.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/check.hpp"
#include "kernels/divisor.cuh"
#include "kernels/flash_tiles.cuh"
#include "kernels/split_kv.hpp"
#include "model/attention/ragged.hpp"

namespace kvroof::kernels {
namespace {

/// kM packed rows of one K/V head of a request.
struct Block {
  int request, kv_head, row_block;
};

struct RaggedParams {
  const bf16 *q, *k, *v;
  bf16* o;
  float* lse;
  const int *q_first, *kv_first;
  const Block* blocks;
  const unsigned char* tree;
  const int* tree_first;
  int h_q, h_kv, tokens;
  Divisor group;  // h_q / h_kv
  float scale;
};

/// The key tiles that a block of packed rows sees: causal, and with kTree a tree among the new
/// tokens. What is needed in masked tiles alone stays in the parameters: registers are short.
template <int kN, bool kTree>
struct PackedTiles {
  const RaggedParams& p;
  int s_kv, cached, request;
  int end, plain_end;  // tiles

  __device__ PackedTiles(const RaggedParams& params, int r, int keys, int new_tokens, int first_row,
                         int rows)
      : p(params), s_kv(keys), cached(keys - new_tokens), request(r) {
    const int oldest = p.group.quotient(first_row), newest = p.group.quotient(first_row + rows - 1);
    end = (cached + newest + kN) / kN;
    plain_end = (cached + (kTree ? 0 : oldest + 1)) / kN;
  }
  __device__ int count() const { return end; }
  __device__ int tile(int i) const { return end - 1 - i; }  // the first keys first: see BandTiles
  __device__ bool plain(int tile) const { return tile < plain_end; }

  /// Bit t: whether `token` sees new token j + 8·t, for t with 8·t < stop; 1 for cached keys.
  __device__ unsigned ancestors(int token, int j, int stop) const {
    const int row_bytes = (s_kv - cached + 7) / 8;
    const unsigned char* row = p.tree + p.tree_first[request] + token * row_bytes;
    unsigned seen = ~0u;
#pragma unroll 1
    for (int t = 0; 8 * t < ::min(stop, kN); ++t)
      if (const int byte = (j >> 3) + t; byte >= 0 && (row[byte] >> (j & 7) & 1) == 0)
        seen &= ~(1u << t);
    return seen;
  }
  template <int kTiles>
  __device__ __forceinline__ void mask(float (&s)[kTiles][4], int tile, int row, int key) const {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int token = p.group.quotient(row + e / 2 * 8), first = tile * kN + key + e % 2;
      const int stop = ::min(s_kv, cached + token + 1) - first;
      unsigned seen = ~0u;
      if (kTree && cached + token < s_kv) seen = ancestors(token, first - cached, stop);
#pragma unroll
      for (int t = 0; t < kTiles; ++t)
        if (8 * t >= stop || (seen >> t & 1) == 0) s[t][e] = -INFINITY;
    }
  }
};

/// Rows of k and v, the same in both: `first` elements in, `stride` apart.
struct CacheRows {
  const RaggedParams& p;
  std::int64_t first;
  int stride;
  __device__ const bf16* k_row(int j) const { return p.k + first + std::int64_t{j} * stride; }
  __device__ const bf16* v_row(int j) const { return p.v + first + std::int64_t{j} * stride; }
};

/// Packed rows of q and o: row r of the block is head kv_head·G + i % G of token i / G,
/// i = first + r.
struct PackedRows {
  const RaggedParams& p;
  int q_first, kv_head, first;
  struct Place {
    int token, head;
  };
  __device__ Place place(int r) const {
    const int token = p.group.quotient(first + r);
    return {q_first + token, kv_head * p.group.divisor + p.group.remainder(first + r, token)};
  }
  __device__ std::int64_t element(int r, int d) const {
    const Place at = place(r);
    return (static_cast<std::int64_t>(at.token) * p.h_q + at.head) * d;
  }
};

template <class T, bool kTree>
__global__ __launch_bounds__(T::kThreads,
                             T::kCtasPerSm) void forward(const __grid_constant__ RaggedParams p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<FlashSmem<T>*>(shared);

  const Block block = p.blocks[blockIdx.x];
  const int q_first = p.q_first[block.request], kv_first = p.kv_first[block.request];
  const int new_tokens = p.q_first[block.request + 1] - q_first;
  const int s_kv = p.kv_first[block.request + 1] - kv_first;
  const int first_row = block.row_block * T::kM;
  const int rows = ::min(T::kM, new_tokens * p.group.divisor - first_row);
  const PackedRows at{p, q_first, block.kv_head, first_row};
  const PackedTiles<T::kN, kTree> tiles(p, block.request, s_kv, new_tokens, first_row, rows);
  const int stride = p.h_kv * T::kD;
  const CacheRows kv{p, std::int64_t{kv_first} * stride + block.kv_head * T::kD, stride};
  const float scale = p.scale * 1.4426950408889634f;  // exponents to base 2

  FlashWarp<T> w;
  flash_loop<T>(
      w, smem, first_row, rows, [&](int r) { return p.q + at.element(r, T::kD); }, kv, s_kv, tiles,
      scale);
  store_output<T>(
      w, smem, rows, scale, [&](int r) { return p.o + at.element(r, T::kD); },
      [&](int r, float value) {
        const auto [token, head] = at.place(r);
        p.lse[static_cast<std::int64_t>(head) * p.tokens + token] = value;
      });
}

template <class T, bool kTree>
void launch_tile(const RaggedParams& p, int blocks, cudaStream_t stream) {
  constexpr int kSmem = sizeof(FlashSmem<T>);
  static const cudaError_t ready =
      cudaFuncSetAttribute(forward<T, kTree>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem);
  CUDA_CHECK(ready);
  // Neighbours in the list share K and V. In pairs they start together, on SMs that carry the same
  // load, and stay in step: else one that has its SM for itself runs ahead of the other by more
  // than L2 holds.
  cudaLaunchAttribute pairs{.id = cudaLaunchAttributeClusterDimension};
  pairs.val.clusterDim = {.x = 2, .y = 1, .z = 1};
  const cudaLaunchConfig_t config{.gridDim = static_cast<unsigned>(blocks),
                                  .blockDim = T::kThreads,
                                  .dynamicSmemBytes = kSmem,
                                  .stream = stream,
                                  .attrs = &pairs,
                                  .numAttrs = blocks % 2 == 0 && gpu().major >= 9 ? 1u : 0u};
  CUDA_CHECK(cudaLaunchKernelEx(&config, forward<T, kTree>, p));
}

/// New and cached tokens of every request.
struct Lengths {
  std::vector<int> fresh, keys;
};

/// The first `decodes` requests bring one token each. ragged: 1 .. s_q new tokens over
/// 0 .. s_kv - s_q cached ones, spread by a fixed sequence,
/// so that a shape is the same in every run.
Lengths lengths_of(const AttentionShape& x, const Args& args) {
  Lengths l;
  std::mt19937_64 random(17);
  const auto upto = [&](int n) { return static_cast<int>(random() % std::uint64_t(n + 1)); };
  const int s_q = static_cast<int>(x.s_q), cached = static_cast<int>(x.s_kv - x.s_q);
  const bool ragged = arg(args, "ragged", 0) != 0;
  const auto decodes = static_cast<std::size_t>(arg(args, "decodes", 0));
  while (l.fresh.size() < static_cast<std::size_t>(x.b)) {
    const int spread_new = 1 + upto(s_q - 1), spread_cached = upto(cached);
    l.fresh.push_back(l.fresh.size() < decodes ? 1 : ragged ? spread_new : s_q);
    l.keys.push_back(l.fresh.back() + (ragged ? spread_cached : cached));
  }
  return l;
}

std::vector<int> cumulative(const std::vector<int>& lengths) {
  std::vector<int> first{0};
  for (const int n : lengths) first.push_back(first.back() + n);
  return first;
}

/// Blocks of m packed rows in the order in which they start.
std::vector<Block> plan_blocks(const Lengths& l, int h_kv, int group, int m) {
  std::vector<int> order(l.keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return l.keys[std::size_t(a)] > l.keys[std::size_t(b)]; });
  std::vector<Block> blocks;
  for (const int r : order)
    for (int head = 0; head < h_kv; ++head)
      for (int i = (l.fresh[std::size_t(r)] * group + m - 1) / m - 1; i >= 0; --i)
        blocks.push_back({r, head, i});
  return blocks;
}

/// A random tree per request: every node's parent is an earlier node, or the cache.
std::vector<std::vector<std::uint8_t>> random_trees(const Lengths& l) {
  std::mt19937_64 random(fresh_seed());
  std::vector<std::vector<std::uint8_t>> trees;
  for (const int fresh : l.fresh) {
    const auto n = static_cast<std::size_t>(fresh);
    std::vector<std::uint8_t> sees(n * n);
    for (std::size_t t = 0; t < n; ++t) {
      if (t > 0) {
        const std::size_t parent = random() % (t + 1);  // t: a root
        if (parent < t) std::copy_n(&sees[parent * n], n, &sees[t * n]);
      }
      sees[t * n + t] = 1;
    }
    trees.push_back(std::move(sees));
  }
  return trees;
}

/// One bit a pair, rows of whole bytes; where each request's rows begin.
std::vector<std::uint8_t> pack_trees(const std::vector<std::vector<std::uint8_t>>& trees,
                                     const Lengths& l, std::vector<int>& first) {
  std::vector<std::uint8_t> packed;
  for (std::size_t r = 0; r < trees.size(); ++r) {
    const auto n = static_cast<std::size_t>(l.fresh[r]), row = (n + 7) / 8;
    first.push_back(static_cast<int>(packed.size()));
    packed.resize(packed.size() + n * row);
    std::uint8_t* to = packed.data() + first.back();
    for (std::size_t i = 0; i < n * n; ++i)
      to[i / n * row + i % n / 8] |= static_cast<std::uint8_t>(trees[r][i] << i % n % 8);
  }
  return packed;
}

/// Packed buffers in the place of the padded ones.
AttentionData ragged_data(const AttentionShape& x, const Args& args, const Lengths& l) {
  AttentionShape one = x;
  one.b = 1, one.s_q = one.s_kv = 1;
  AttentionData data = decode_data(one, args);
  const std::vector<int> q_first = cumulative(l.fresh), kv_first = cumulative(l.keys);
  const auto tokens = static_cast<std::size_t>(q_first.back()),
             keys = static_cast<std::size_t>(kv_first.back());
  reference::Attention& c = data.call;
  c.b = static_cast<std::int64_t>(l.fresh.size());
  c.s_q = *std::max_element(l.fresh.begin(), l.fresh.end());
  c.s_kv = *std::max_element(l.keys.begin(), l.keys.end());
  c.causal = true;
  c.q_lengths.assign(l.fresh.begin(), l.fresh.end());
  c.kv_lengths.assign(l.keys.begin(), l.keys.end());
  const auto rows = [](const std::vector<int>& first, std::int64_t heads, std::int64_t d) {
    return reference::Rows{
        .token_stride = heads * d, .head_stride = d, .first_token = {first.begin(), first.end()}};
  };
  c.q_rows = rows(q_first, c.h_q, c.d_qk), data.o_rows = rows(q_first, c.h_q, c.d_v);
  c.k_rows = rows(kv_first, c.h_kv, c.d_qk), c.v_rows = rows(kv_first, c.h_kv, c.d_v);
  data.lse_rows = reference::Rows{
      .token_stride = 1, .head_stride = q_first.back(), .first_token = c.q_rows.first_token};
  const auto bytes = [](std::size_t n, std::int64_t heads, std::int64_t d) {
    return Buffer(2 * n * static_cast<std::size_t>(heads * d));
  };
  data.q = bytes(tokens, c.h_q, c.d_qk), data.o = bytes(tokens, c.h_q, c.d_v);
  data.k = bytes(keys, c.h_kv, c.d_qk), data.v = bytes(keys, c.h_kv, c.d_v);
  data.lse = Buffer(sizeof(float) * tokens * static_cast<std::size_t>(c.h_q));
  return data;
}

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  const Lengths l = lengths_of(x, args);
  AttentionData data = ragged_data(x, args, l);
  refill(data);
  const reference::Attention& c = data.call;
  const int d = static_cast<int>(c.d_qk), h_kv = static_cast<int>(c.h_kv);
  const int group = static_cast<int>(c.h_q / c.h_kv);
  const attention::Tile tile =
      with_flash_tile(d, c.s_q * group, [&]<class T>() { return flash_model_tile<T>(); });

  const std::vector<int> q_first = cumulative(l.fresh), kv_first = cumulative(l.keys);
  const std::vector<Block> plan = plan_blocks(l, h_kv, group, tile.m);
  std::vector<Buffer> tables{to_device(q_first), to_device(kv_first), to_device(plan)};
  RaggedParams p{.q = data.q.as<bf16>(),
                 .k = data.k.as<bf16>(),
                 .v = data.v.as<bf16>(),
                 .o = data.o.as<bf16>(),
                 .lse = data.lse.as<float>(),
                 .q_first = tables[0].as<int>(),
                 .kv_first = tables[1].as<int>(),
                 .blocks = tables[2].as<Block>(),
                 .h_q = static_cast<int>(c.h_q),
                 .h_kv = h_kv,
                 .tokens = q_first.back(),
                 .group = Divisor(group),
                 .scale = static_cast<float>(c.scale)};
  const bool tree = arg(args, "tree", 0) != 0;
  if (tree) {
    const auto trees = random_trees(l);
    std::vector<int> tree_first;
    tables.push_back(to_device(pack_trees(trees, l, tree_first)));
    tables.push_back(to_device(tree_first));
    p.tree = tables[3].as<unsigned char>(), p.tree_first = tables[4].as<int>();
    data.mask_of = [trees](reference::Attention& call, std::int64_t request, std::int64_t) {
      call.tree = trees[static_cast<std::size_t>(request)];
    };
  }
  const auto launch = [=, rows = c.s_q * group, blocks = static_cast<int>(plan.size()),
                       keep = data](cudaStream_t stream) {
    static_cast<void>(tables);
    with_flash_tile(d, rows, [&]<class T>() {
      if (p.tree == nullptr) launch_tile<T, false>(p, blocks, stream);
      else launch_tile<T, true>(p, blocks, stream);
    });
  };

  std::vector<RequestGroup> groups;
  for (std::size_t r = 0; r < l.fresh.size(); ++r)
    groups.push_back({.s_q = 1.0 * l.fresh[r], .cached = 1.0 * (l.keys[r] - l.fresh[r])});
  const attention::Cost cost =
      attention::ragged(groups, x, {}, on_chip(), {.tile = tile, .tree_mask = tree});
  return {.name = "ragged " + shape_name(x) + " tokens" + std::to_string(q_first.back()) + "/" +
                  std::to_string(kv_first.back()) + (tree ? " tree" : ""),
          .op = attention_op("ragged", OpClass::prefill_attention, cost),
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); }};
}

}  // namespace

Entry ragged_entry() {
  const auto shape = [](double b, double s_q, double s_kv, Args more) {
    more.insert({{"b", b}, {"h_q", 32}, {"h_kv", 8}, {"s_q", s_q}, {"s_kv", s_kv}});
    return more;
  };
  return {.name = "ragged",
          .title = "variable lengths, chunked prefill over a cache, tree verification",
          .shapes = {shape(4, 512, 512, {{"ragged", 1}}),     // 4 MB of cache: L2
                     shape(16, 2048, 2048, {{"ragged", 1}}),  // whole prompts
                     shape(8, 8192, 8192, {{"ragged", 1}}), shape(4, 8192, 8192, {}),
                     shape(1, 512, 8192, {}), shape(16, 512, 16384, {}),  // chunks over a cache
                     shape(32, 512, 16384, {{"ragged", 1}}), shape(1, 2048, 131072, {}),
                     shape(64, 512, 8192, {{"ragged", 1}, {"decodes", 60}}),  // mixed step
                     shape(32, 16, 8192, {{"tree", 1}}), shape(64, 64, 4096, {{"tree", 1}}),
                     shape(16, 64, 32768, {{"tree", 1}, {"ragged", 1}}),
                     shape(64, 5, 8192, {}),  // a drafted chain
                     shape(8, 4096, 4096, {{"d", 64}, {"ragged", 1}}),
                     shape(8, 4096, 4096, {{"d", 256}, {"ragged", 1}})},
          .make = make};
}

}  // namespace kvroof::kernels
