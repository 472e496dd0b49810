// MLA decode on Hopper: launch and row of the catalogue; the kernel is in mla_decode_tma.cuh.
#include "kernels/attention/mla_decode_tma.cuh"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <stdexcept>

#include "kernels/hopper/entries.hpp"
#include "kernels/mla_case.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/mla_decode.hpp"

namespace kvroof::kernels {
namespace {

template <int kCluster>
void launch_decode(const mla::Params& p, cudaStream_t stream) {
  const auto kernel = mla::decode<kCluster>;
  static const cudaError_t ready =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(mla::Smem));
  CUDA_CHECK(ready);
  cudaLaunchAttribute cluster{.id = cudaLaunchAttributeClusterDimension};
  cluster.val.clusterDim = {kCluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = p.plan.num_workers * kCluster, config.blockDim = mla::kThreads;
  config.dynamicSmemBytes = sizeof(mla::Smem), config.stream = stream;
  config.attrs = &cluster, config.numAttrs = kCluster > 1 ? 1 : 0;
  CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, p));
}

void launch_decode_fp8(const mla::WidenedParams& w, cudaStream_t stream) {
  static const cudaError_t ready = cudaFuncSetAttribute(
      mla::decode_fp8, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(mla::WidenedSmem));
  CUDA_CHECK(ready);
  mla::decode_fp8<<<static_cast<unsigned>(w.p.plan.num_workers), 512, sizeof(mla::WidenedSmem),
                    stream>>>(w);
  CUDA_CHECK(cudaGetLastError());
}

/// A latent of 656-byte tokens: codes of about unit spread, scales between 0.5 and 1.5.
struct Fp8Latent {
  std::size_t tokens;
  Buffer bytes;

  void refill() const {
    fill_random(bytes, Dtype::fp8);
    std::mt19937 random(static_cast<std::uint32_t>(fresh_seed()));
    std::uniform_real_distribution<float> near_one(0.5f, 1.5f);
    std::vector<float> scales(4 * tokens);
    for (float& s : scales) s = near_one(random);
    const Buffer rope(tokens * 128);
    fill_random(rope, Dtype::bf16);
    CUDA_CHECK(cudaMemcpy2D(bytes.as<std::uint8_t>() + mla::kLatent, mla::kTokenBytes,
                            scales.data(), 16, 16, tokens, cudaMemcpyHostToDevice));
    CUDA_CHECK(cudaMemcpy2D(bytes.as<std::uint8_t>() + mla::kLatent + 16, mla::kTokenBytes,
                            rope.as(), 128, 128, tokens, cudaMemcpyDeviceToDevice));
  }
  /// [tokens, 576]: a code stands for bf16(code · scale), as FlashMLA's reference dequantises it.
  std::vector<float> values() const {
    const auto raw = to_host<std::uint8_t>(bytes);
    std::vector<float> values(tokens * mla::kRow);
    for (std::size_t t = 0; t < tokens; ++t) {
      const std::uint8_t* token = raw.data() + t * mla::kTokenBytes;
      float scale[4];
      std::memcpy(scale, token + mla::kLatent, sizeof scale);
      for (std::size_t c = 0; c < mla::kRow; ++c) {
        float& value = values[t * mla::kRow + c];
        if (c < mla::kLatent) {
          __nv_fp8_e4m3 code;
          code.__x = token[c];
          value = __bfloat162float(__float2bfloat16(static_cast<float>(code) * scale[c / 128]));
        } else {
          std::uint16_t bits;
          std::memcpy(&bits, token + mla::kLatent + 16 + 2 * (c - mla::kLatent), sizeof bits);
          value = std::bit_cast<float>(std::uint32_t{bits} << 16);
        }
      }
    }
    return values;
  }
};

/// Partial results that a thread of merge_pieces has in flight. On an H200 16 instead of 4 take
/// 7.4 instead of 14.7 us for 128 rows in 66 pieces, but 15 instead of 9 us for 4096 rows in three.
constexpr int kFewPieces = 4, kManyPieces = 16;
int merged_at_once(const attention::BalancedSplit& split) {
  const int most = *std::max_element(split.holders.begin(), split.holders.end());
  return most > 2 * kFewPieces ? kManyPieces : kFewPieces;
}

/// What a launch does by pieces.
///   q_rows        rows of q that they load; TMA fills tiles with rows of zeros
///   merged_rows   rows of partial results that the merge reads
///   xu_lanes      lanes on the XU pipe
struct Counts {
  double q_rows = 0, merged_rows = 0, xu_lanes = 0;
};

/// Of streams of `keys`, each the work of `cluster` blocks; `groups` of them share the `rows` of a
/// request. A tile takes the four warps of scores 32 exponentials and two corrections, a masked one
/// a division by h_q, a piece's rows two reciprocals. Whoever loads finds a piece's request by a
/// division; merge_pieces has four warps for every row.
Counts count(const attention::BalancedSplit& split, const std::vector<int>& keys, int s_q,
             int cluster, int groups, int rows, bool fp8) {
  constexpr int kWarps = 4;
  const int at_once = merged_at_once(split);
  Counts c;
  for (std::size_t s = 0; s < keys.size(); ++s) {
    const int pieces = split.holders[s], tiles = split.stream_first[s + 1] - split.stream_first[s];
    const int masked = std::clamp(tiles - (keys[s] - s_q + 1) / mla::kKeys, 0, tiles);
    const int first = static_cast<int>(s) % groups * cluster * mla::kRows;
    const int rows_here = std::min(cluster * mla::kRows, rows - first);
    c.q_rows += pieces * cluster * mla::kRows;
    const int of_scores = tiles * (mla::kKeys / 2 + 2) + masked * kDivisionXu + pieces * 2;
    c.xu_lanes += 32. * cluster * (kWarps * of_scores + pieces * kDivisionXu * (fp8 ? kWarps : 1));
    if (split.cut_streams > 0) c.xu_lanes += 32. * rows_here * kWarps * kDivisionXu;
    if (pieces == 1) continue;
    c.merged_rows += pieces * rows_here;
    const int weights = (pieces + at_once - 1) / at_once * at_once;
    c.xu_lanes += 32. * rows_here * kWarps * (weights + 1);
  }
  return c;
}

/// The op of both kernels as two: decode, which writes partial results, and the merge, which reads
/// them and waits for L2 again and again.
std::vector<Op> decode_and_merge(const Op& both, const attention::BalancedSplit& split,
                                 double partial_rows, double merged_rows, double blocks) {
  constexpr double kRowBytes = 4 * (mla::kLatent + 1);
  Op decode = both, merge{.name = both.name, .op_class = both.op_class, .math = both.math};
  merge.work.read.activations = Bytes{partial_rows * kRowBytes};
  merge.work.l2_to_sm = Bytes{merged_rows * kRowBytes};
  merge.work.ctas = blocks, merge.work.launches = 1;
  merge.handed_over = 0.5 * both.handed_over;
  const int most = *std::max_element(split.holders.begin(), split.holders.end());
  merge.execution.sm_cycles =
      attention::merge_cycles(most, merged_at_once(split), merge.work.l2_to_sm, on_chip());
  merge.execution.tensor_busy = 0;
  decode.work.read.activations -= merge.work.read.activations;
  decode.work.l2_to_sm -= merge.work.l2_to_sm;
  decode.work.launches -= 1;
  decode.handed_over -= merge.handed_over;
  return {decode, merge};
}

/// What the FP8 latent adds for each tile: threads store it, and products read q beside it.
/// Counters saw 131 KB a tile more than the products' own reads, of these 147.
Bytes widened_smem(Flops executed) {
  const Flops tile{2. * mla::kRows * mla::kKeys * (mla::kRow + mla::kLatent)};
  return executed / tile * Bytes{2. * mla::kRow * (mla::kKeys + mla::kRows)};
}

Case make(const Args& args) {
  require_sm90a("mla_decode_tma");
  MlaData data = mla_data(args);
  const bool fp8 = arg(args, "fp8", 0) != 0;
  Fp8Latent latent;
  if (fp8) {
    const std::size_t tokens = data.attention.k.bytes() / 2 / MlaData::kRow;
    data.attention.k = data.attention.v = Buffer(16);
    latent = {tokens, Buffer(tokens * mla::kTokenBytes)};
    latent.refill();
    data.attention.k_values = data.attention.v_values = [latent] { return latent.values(); };
  }
  const reference::Attention& call = data.attention.call;
  if (data.page % mla::kKeys != 0)
    throw std::invalid_argument("mla_decode_tma: pages are multiples of 64 tokens");
  const int rows = static_cast<int>(call.s_q * call.h_q);
  const int row_blocks = (rows + mla::kRows - 1) / mla::kRows;
  const int cluster = fp8 ? 1 : static_cast<int>(arg(args, "cluster", row_blocks % 2 == 0 ? 2 : 1));
  const int groups = row_blocks / cluster;

  std::vector<int> keys;
  for (const std::int64_t length : call.kv_lengths)
    keys.insert(keys.end(), static_cast<std::size_t>(groups), static_cast<int>(length));
  // 64 requests of 64 tiles on an H200: 114.6 us whole, 138.9 us cut into 62 and 63 tiles a
  // cluster. Partial results of 64 rows are 131 KB, written by a block that meanwhile does nothing
  // else.
  const int cut_cost = static_cast<int>(arg(args, "cut", 14));
  const PlannedSplit planned = plan_split(keys, mla::kKeys, gpu().num_sms / cluster, cut_cost);
  const std::size_t partial_rows =
      planned.split.pieces > 0
          ? 2 * static_cast<std::size_t>(planned.plan.num_workers * cluster * mla::kRows)
          : 0;
  const Buffer partials(partial_rows * (mla::kLatent + 1) * sizeof(float) + 16);

  const auto pages =
      static_cast<std::int64_t>(data.attention.k.bytes()) / 2 / MlaData::kRow / data.page;
  const auto map = [](const Buffer& buffer, std::int64_t b, std::int64_t s, int columns) {
    return hopper::tile_map(hopper::contiguous(buffer.as(), b, 1, s, MlaData::kRow),
                            CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, 64, columns, 128,
                            CU_TENSOR_MAP_L2_PROMOTION_L2_128B);
  };
  const auto q_map = [&](int blocks) { return map(data.attention.q, call.b, rows, 64 * blocks); };
  const auto cache_map = [&](int blocks) {
    return map(data.attention.k, pages, data.page, 64 * blocks);
  };
  mla::Params p{.q = {q_map(5), q_map(4)},
                .table = data.table.as<int>(),
                .max_pages = data.max_pages,
                .page_tiles_log2 = std::countr_zero(static_cast<unsigned>(data.page)) - 6,
                .plan = planned.plan,
                .groups = groups,
                .rows = rows,
                .h_q = static_cast<int>(call.h_q),
                .s_q = static_cast<int>(call.s_q),
                .o = data.attention.o.as<bf16>(),
                .lse = data.attention.lse.as<float>(),
                .part_o = partials.as<float>(),
                .part_lse2 = partials.as<float>() + partial_rows * mla::kLatent,
                .scale = static_cast<float>(call.scale)};
  if (!fp8) p.cache[0] = cache_map(5), p.cache[1] = cache_map(4);
  const mla::WidenedParams widened{p, latent.bytes.as<std::uint8_t>()};
  const MergeParams merge{.plan = planned.plan,
                          .part_o = p.part_o,
                          .part_lse2 = p.part_lse2,
                          .o = p.o,
                          .lse = p.lse,
                          .rows = cluster * mla::kRows,
                          .groups = groups,
                          .request_rows = rows};
  const bool cut = planned.split.cut_streams > 0;
  const int at_once = merged_at_once(planned.split);
  const dim3 merge_grid(static_cast<unsigned>(rows), static_cast<unsigned>(call.b));
  const auto launch = [=, keep = std::vector{partials, planned.streams, planned.workers,
                                             latent.bytes}](cudaStream_t stream) {
    if (fp8) launch_decode_fp8(widened, stream);
    else if (cluster == 2) launch_decode<2>(p, stream);
    else launch_decode<1>(p, stream);
    if (!cut) return;
    cudaLaunchAttribute early{.id = cudaLaunchAttributeProgrammaticStreamSerialization};
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = merge_grid, config.blockDim = mla::kLatent / 4, config.stream = stream;
    config.attrs = &early, config.numAttrs = 1;
    const auto kernel = at_once == kManyPieces ? merge_pieces<mla::kLatent, kManyPieces>
                                               : merge_pieces<mla::kLatent, kFewPieces>;
    CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, merge));
  };
  const Counts counts =
      count(planned.split, keys, static_cast<int>(call.s_q), cluster, groups, rows, fp8);
  const attention::DecodePlan plan{
      .tile = {.m = 64, .n = 64, .p_in_smem = true, .mma_rows = 64, .row_lanes = 4, .overlap = 1},
      .even = attention::EvenRanges{
          .partial_rows = double{1} * planned.split.pieces * cluster * mla::kRows,
          .ctas = double{1} * planned.plan.num_workers * cluster,
          .multicast = double{1} * cluster,
          .merged_rows = counts.merged_rows,
          .q_rows = counts.q_rows}};
  attention::Cost cost = attention::mla_decode_planned(
      data.shape, {.kv = fp8 ? Dtype::fp8_per_token : Dtype::bf16}, on_chip(), plan);
  cost.work.exps = counts.xu_lanes;
  Case c = mla_decode_case("mla_decode_tma", data,
                           {.tile = plan.tile, .splits = 1, .kernels = cut ? 2 : 1}, launch);
  if (fp8) {
    c.name += " fp8";
    c.verify = [verify = c.verify, latent] {
      latent.refill();
      return verify();
    };
  }
  if (fp8) cost.work.smem += widened_smem(cost.work.flops_executed);
  const attention::MlaKernel& kernel = fp8            ? attention::kMlaWidened
                                       : cluster == 2 ? attention::kMlaCluster
                                                      : attention::kMlaBlock;
  const attention::MlaCycles cycles =
      attention::mla_cycles(planned.split, kernel, std::min(rows, mla::kRows), cluster, on_chip());
  cost.execution.sm_cycles = cycles.tiles, cost.execution.fill_cycles = cycles.fill;
  cost.execution.tensor_busy = kernel.busy;
  c.op.work = cost.work, c.op.execution = cost.execution, c.op.handed_over = cost.handed_over;
  if (cut)
    c.stages = decode_and_merge(c.op, planned.split, plan.even->partial_rows, counts.merged_rows,
                                double{1} * rows * call.b);
  return c;
}

/// Those of every MLA decode kernel, and a long one.
std::vector<Args> shapes() {
  std::vector<Args> all = mla_decode_shapes();
  all.push_back({{"b", 64}, {"s_kv", 32768}});
  return all;
}

Case make_fp8(Args args) {
  args["fp8"] = 1;
  return make(args);
}

std::vector<Args> fp8_shapes() {
  std::vector<Args> all{{{"b", 1}, {"h_q", 128}, {"s_kv", 8192}}};
  for (const double h_q : {16., 64., 128.})
    for (const double s_kv : {512., 1024., 4096., 8192., 16384.})
      all.push_back({{"b", 64}, {"h_q", h_q}, {"s_kv", s_kv}});
  return all;
}

}  // namespace

Entry mla_decode_tma_entry() {
  return {.name = "mla_decode_tma",
          .title = "MLA decode on Hopper: wgmma, TMA multicast, q in registers",
          .shapes = shapes(),
          .make = make};
}

Entry mla_decode_tma_fp8_entry() {
  return {.name = "mla_decode_tma_fp8",
          .title = "the same over an FP8 latent of 656-byte tokens, widened by a warpgroup",
          .shapes = fp8_shapes(),
          .make = make_fp8};
}

}  // namespace kvroof::kernels
