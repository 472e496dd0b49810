// GQA decode fed by TMA: launch and row of the catalogue; the kernel is in gqa_decode_tma.cuh.
#include "kernels/attention/gqa_decode_tma.cuh"
#include "kernels/attention_op.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

#include "kernels/hopper/entries.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/paged_decode.hpp"
#include "model/attention/split_kv.hpp"

namespace kvroof::kernels {
namespace {

template <class F>
auto with_tile(int d, const F& f) {
  switch (d) {
    case 64:
      return f.template operator()<gqa_tma::Tile<64>>();
    case 128:
      return f.template operator()<gqa_tma::Tile<128>>();
    case 256:
      return f.template operator()<gqa_tma::Tile<256>>();
  }
  throw std::invalid_argument("gqa_decode_tma: head size must be 64, 128 or 256");
}

template <class T>
void launch_decode(const gqa_tma::Params& p, bool early, cudaStream_t stream) {
  constexpr int kSmem = sizeof(gqa_tma::Smem<T>);
  static_assert(kSmem <= 227 * 1024);
  static const cudaError_t ready =
      cudaFuncSetAttribute(gqa_tma::decode<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem);
  CUDA_CHECK(ready);
  // Barriers and tensor maps are made ready while the kernel before this one ends.
  cudaLaunchAttribute attrs[2]{{.id = cudaLaunchAttributeClusterDimension},
                               {.id = cudaLaunchAttributeProgrammaticStreamSerialization}};
  attrs[0].val.clusterDim = {p.clusters ? unsigned{gqa_tma::kCluster} : 1, 1, 1};
  attrs[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = p.plan.num_workers, config.blockDim = T::kThreads;
  config.dynamicSmemBytes = kSmem, config.stream = stream;
  config.attrs = attrs, config.numAttrs = early ? 2 : 1;
  CUDA_CHECK(cudaLaunchKernelEx(&config, gqa_tma::decode<T>, p));
}

/// Workers of `streams` equal streams: as many for each stream, or as many streams for each, where
/// that leaves no more than 5 % of the SMs without work; then no worker has pieces of two. Else all
/// SMs, since an SM less is bandwidth less.
int num_workers(int streams, int sms) {
  const int each = (streams + sms - 1) / sms;  // streams of a worker
  const int whole = streams < sms ? streams * (sms / streams) : streams / each;
  return whole * each % streams == 0 && 20 * whole >= 19 * sms ? whole : sms;
}

/// Who reads what of streams of so many keys: equal ranges. Where a cluster for each stream fills
/// nearly all SMs, they merge through shared memory.
PlannedSplit plan_decode(const std::vector<int>& keys, int tile, bool& clusters, int cut) {
  const int streams = static_cast<int>(keys.size()), sms = gpu().num_sms;
  const bool equal = std::all_of(keys.begin(), keys.end(), [&](int k) { return k == keys[0]; });
  const int blocks = gqa_tma::kCluster * streams;
  clusters = clusters && equal && keys[0] > tile && blocks <= sms && 10 * blocks >= 9 * sms;
  return clusters ? plan_split(keys, tile, blocks, 0)
                  : plan_split(keys, tile, equal ? num_workers(streams, sms) : sms, cut);
}

/// Moves a dense cache into shuffled pages of `page` tokens; requests of `lengths` tokens.
Buffer page_cache(AttentionData& data, int page, bool ragged) {
  reference::Attention& call = data.call;
  const auto pages = static_cast<int>(attention::pages(static_cast<double>(call.s_kv), page));
  std::mt19937_64 random(fresh_seed());
  std::vector<int> table(static_cast<std::size_t>(call.b * pages));
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), random);
  call.kv_lengths.assign(static_cast<std::size_t>(call.b), call.s_kv);
  if (ragged)
    for (std::int64_t& n : call.kv_lengths)
      n = call.s_q + static_cast<std::int64_t>(
                         random() % static_cast<std::uint64_t>(call.s_kv - call.s_q + 1));
  const std::size_t pool = table.size() * static_cast<std::size_t>(call.h_kv * page * call.d_qk);
  data.k = Buffer(2 * pool), data.v = Buffer(2 * pool);
  call.k_rows = {.token_stride = call.d_qk,
                 .head_stride = page * call.d_qk,
                 .table = table,
                 .max_pages = pages,
                 .page_size = page,
                 .page_stride = call.h_kv * page * call.d_qk};
  call.v_rows = call.k_rows;
  return to_device(table);
}

/// What a launch does by pieces: rows of q that they load, and lanes on the XU pipe.
struct Counts {
  double q_rows = 0, xu_lanes = 0;
};

/// Cycles of the block that merges a cut stream: trips to L2 for up to 2·kMergeAtOnce pieces of the
/// quads of columns that its threads take, two a quad. A trip took 1.4 us, a thread's 18 loads and
/// the weights for them, on an H200 (4, 8 and 16 rows a stream, 1 to 131 thousand keys).
template <class T>
double merge_cycles(const attention::BalancedSplit& split, int rows) {
  constexpr double kTrip = 2770;
  const int most = *std::max_element(split.holders.begin(), split.holders.end());
  if (most < 2) return 0;
  const double quads = std::min(rows, T::kRows) * T::kD / 4;
  return kTrip * std::ceil(quads / (T::kThreads / 2)) * std::ceil(most / (2. * T::kMergeAtOnce));
}

/// Of streams of `keys`; `row_blocks` of them share the `rows` of a request and K/V head. A warp's
/// tile takes an exponential a score and a correction in the four lanes of a row. Each merge takes
/// a weight for what it adds up, 1 / sum and, where sums meet, corrections, in a lane for four
/// columns, by whole warps.
template <class T>
Counts count(const attention::BalancedSplit& split, const std::vector<int>& keys, int rows,
             int row_blocks, bool clusters) {
  constexpr int kQuads = T::kD / 4;
  const auto warps = [](int lanes) { return (lanes + 31) / 32; };
  Counts c;
  for (std::size_t s = 0; s < keys.size(); ++s) {
    const int rows_here = std::min(16, rows - static_cast<int>(s) % row_blocks * 16);
    const int pieces = split.holders[s], tiles = (keys[s] + T::kKeys - 1) / T::kKeys;
    c.q_rows += pieces * rows_here;
    int instructions = tiles * (T::kKeys / 2 + 2);
    for (int first = 0; first < rows_here; first += T::kMergeRows)  // warps of a block
      instructions +=
          pieces * (T::kWarps + 1) * warps(std::min(T::kMergeRows, rows_here - first) * kQuads);
    if (pieces > 1 && clusters) {
      const int of_result = gqa_tma::kCluster + 1 + 1;
      instructions += gqa_tma::kCluster * of_result * warps(rows_here * kQuads / gqa_tma::kCluster);
    } else if (pieces > 1) {  // two lanes take turns at the pieces
      const int rounds = (pieces + 2 * T::kMergeAtOnce - 1) / (2 * T::kMergeAtOnce);
      instructions += warps(2 * rows_here * kQuads) * (rounds * (T::kMergeAtOnce + 1) + 2 + 1);
    }
    c.xu_lanes += 32. * instructions;
  }
  return c;
}

Case make(const Args& args) {
  require_sm90a("gqa_decode_tma");
  const AttentionShape x = attention_shape(args);
  AttentionData data = decode_data(x, args);
  const reference::Attention& call = data.call;
  const int d = static_cast<int>(x.d_qk), page = static_cast<int>(arg(args, "block_size", 0));
  const int keys_of_warp = with_tile(d, [&]<class T>() { return T::kKeys; });
  const int keys_of_block = with_tile(d, [&]<class T>() { return T::kBlockKeys; });
  if (page % keys_of_warp != 0)
    throw std::invalid_argument("gqa_decode_tma: block_size is a multiple of " +
                                std::to_string(keys_of_warp));
  const Buffer table = page > 0 ? page_cache(data, page, arg(args, "ragged", 0) != 0) : Buffer();
  refill(data);

  const int row_blocks = static_cast<int>((call.s_q * call.h_q / call.h_kv + 15) / 16);
  std::vector<int> keys;
  for (std::int64_t r = 0; r < call.b; ++r)
    keys.insert(keys.end(), static_cast<std::size_t>(call.h_kv * row_blocks),
                static_cast<int>(call.keys(r)));
  bool clusters = arg(args, "cluster", 1) != 0;
  const PlannedSplit planned =
      plan_decode(keys, keys_of_block, clusters, static_cast<int>(arg(args, "cut", 2)));
  const std::size_t partial_rows = 2 * 16 * static_cast<std::size_t>(planned.plan.num_workers);
  const Buffer partials(partial_rows * static_cast<std::size_t>(d + 1) * sizeof(float));
  const Buffer tickets = to_device(std::vector<unsigned>(keys.size()));

  const auto map = [&](const Buffer& cache) {
    const std::int64_t s = page > 0 ? page : call.s_kv;
    const std::int64_t b = static_cast<std::int64_t>(cache.bytes()) / 2 / d / s / call.h_kv;
    return hopper::tile_map(hopper::contiguous(cache.as(), b, call.h_kv, s, d),
                            CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, keys_of_warp, 0, 128,
                            CU_TENSOR_MAP_L2_PROMOTION_L2_128B);
  };
  const gqa_tma::Params p{
      .k = map(data.k),
      .v = map(data.v),
      .table = table.as<int>(),
      .max_pages = call.k_rows.max_pages,
      .page_log2 = page > 0 ? std::countr_zero(static_cast<unsigned>(page)) : 0,
      .plan = planned.plan,
      .h_q = static_cast<int>(call.h_q),
      .s_q = static_cast<int>(call.s_q),
      .row_blocks = Divisor(row_blocks),
      .h_kv = Divisor(static_cast<int>(call.h_kv)),
      .group = Divisor(static_cast<int>(call.h_q / call.h_kv)),
      .q = data.q.as<bf16>(),
      .o = data.o.as<bf16>(),
      .lse = data.lse.as<float>(),
      .part_o = partials.as<float>(),
      .part_lse2 = partials.as<float>() + partial_rows * static_cast<std::size_t>(d),
      .tickets = tickets.as<unsigned>(),
      .clusters = clusters,
      .scale = static_cast<float>(call.scale)};
  const bool early = starts_early(data.k.bytes() + data.v.bytes());
  const auto launch = [=, keep = std::vector{partials, tickets, table, planned.streams,
                                             planned.workers, data.q, data.k, data.v, data.o,
                                             data.lse}](cudaStream_t stream) {
    with_tile(d, [&]<class T>() { launch_decode<T>(p, early, stream); });
  };
  const attention::Tile tile{.m = 16,
                             .n = keys_of_warp,
                             .ctas_per_sm = 1,
                             .mma_rows = 16,
                             .row_lanes = 4,
                             .mma_sync = true,
                             .overlap = 1};
  const Counts counts = with_tile(d, [&]<class T>() {
    return count<T>(planned.split, keys, static_cast<int>(call.s_q * call.h_q / call.h_kv),
                    row_blocks, clusters);
  });
  attention::Cost cost = attention::decode(
      x, {}, on_chip(),
      {.tile = tile,
       .even = attention::EvenRanges{.partial_rows = clusters ? 0  // they stay in shared memory
                                                              : double{1} * planned.split.pieces *
                                                                    static_cast<double>(call.s_q) *
                                                                    x.group() / row_blocks,
                                     .ctas = double{1} * planned.plan.num_workers,
                                     .fused_combine = true,
                                     .q_rows = counts.q_rows}});
  cost.work.exps = counts.xu_lanes;
  cost.execution.tensor_busy = 0;  // mma.sync beside the stream of bytes
  if (!clusters)
    cost.execution.fill_cycles = with_tile(d, [&]<class T>() {
      return merge_cycles<T>(planned.split, static_cast<int>(call.s_q * call.h_q / call.h_kv));
    });
  return {.name = "gqa_decode_tma " + shape_name(x) +
                  (page > 0 ? " page" + std::to_string(page) : "") + " pieces" +
                  std::to_string(planned.split.pieces) + (clusters ? " clusters" : ""),
          .op = attention_op("flash_decoding", OpClass::decode_attention, cost),
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); }};
}

}  // namespace

Entry gqa_decode_tma_entry() {
  const auto shape = [](double b, double h_q, double s_kv) {
    return Args{{"b", b}, {"h_q", h_q}, {"h_kv", 8}, {"s_kv", s_kv}};
  };
  return {.name = "gqa_decode_tma",
          .title = "GQA decode fed by TMA: rings, equal ranges of the cache, fused combine",
          .shapes = {shape(32, 32, 8192),
                     shape(32, 64, 8192),
                     shape(1, 32, 131072),
                     shape(1, 64, 131072),
                     shape(1, 32, 8192),
                     shape(1, 64, 2048),
                     shape(8, 64, 32768),
                     shape(64, 32, 2048),
                     shape(16, 32, 4096),
                     shape(4, 32, 32768),
                     {{"b", 8}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 32768}, {"d", 64}},
                     {{"b", 4}, {"h_q", 16}, {"h_kv", 8}, {"s_kv", 16384}, {"d", 256}},
                     {{"b", 32}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 8192}, {"block_size", 64}},
                     {{"b", 4}, {"h_q", 32}, {"h_kv", 8}, {"s_q", 4}, {"s_kv", 16384}}},
          .make = make};
}

}  // namespace kvroof::kernels
