// MLA decode on Hopper: launch and row of the catalogue; the kernel is in mla_decode_tma.cuh.
#include "kernels/attention/mla_decode_tma.cuh"

#include <bit>
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

Case make(const Args& args) {
  require_sm90a("mla_decode_tma");
  const MlaData data = mla_data(args);
  const reference::Attention& call = data.attention.call;
  if (data.page % mla::kKeys != 0)
    throw std::invalid_argument("mla_decode_tma: pages are multiples of 64 tokens");
  const int rows = static_cast<int>(call.s_q * call.h_q);
  const int row_blocks = (rows + mla::kRows - 1) / mla::kRows;
  const int cluster = static_cast<int>(arg(args, "cluster", row_blocks % 2 == 0 ? 2 : 1));
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
                            CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, 64, columns);
  };
  const auto q_map = [&](int blocks) { return map(data.attention.q, call.b, rows, 64 * blocks); };
  const auto cache_map = [&](int blocks) {
    return map(data.attention.k, pages, data.page, 64 * blocks);
  };
  const mla::Params p{.q = {q_map(5), q_map(4)},
                      .cache = {cache_map(5), cache_map(4)},
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
  const MergeParams merge{.plan = planned.plan,
                          .part_o = p.part_o,
                          .part_lse2 = p.part_lse2,
                          .o = p.o,
                          .lse = p.lse,
                          .rows = cluster * mla::kRows,
                          .groups = groups,
                          .request_rows = rows};
  const bool cut = planned.split.cut_streams > 0;
  const dim3 merge_grid(static_cast<unsigned>(rows), static_cast<unsigned>(call.b));
  const auto launch =
      [=, keep = std::vector{partials, planned.streams, planned.workers}](cudaStream_t stream) {
        if (cluster == 2) launch_decode<2>(p, stream);
        else launch_decode<1>(p, stream);
        if (!cut) return;
        cudaLaunchAttribute early{.id = cudaLaunchAttributeProgrammaticStreamSerialization};
        early.val.programmaticStreamSerializationAllowed = 1;
        cudaLaunchConfig_t config{};
        config.gridDim = merge_grid, config.blockDim = mla::kLatent / 4, config.stream = stream;
        config.attrs = &early, config.numAttrs = 1;
        CUDA_CHECK(cudaLaunchKernelEx(&config, merge_pieces<mla::kLatent>, merge));
      };
  const attention::DecodePlan plan{
      .tile = {.m = 64, .n = 64, .p_in_smem = true, .mma_rows = 64, .row_lanes = 4, .overlap = 1},
      .even = attention::EvenRanges{
          .partial_rows = double{1} * planned.split.pieces * cluster * mla::kRows,
          .ctas = double{1} * planned.plan.num_workers * cluster,
          .multicast = double{1} * cluster}};
  const attention::Cost cost = attention::mla_decode_planned(data.shape, {}, on_chip(), plan);
  Case c = mla_decode_case("mla_decode_tma", data,
                           {.tile = plan.tile, .splits = 1, .kernels = cut ? 2 : 1}, launch);
  c.op.work = cost.work, c.op.execution = cost.execution, c.op.handed_over = cost.handed_over;
  return c;
}

}  // namespace

Entry mla_decode_tma_entry() {
  return {.name = "mla_decode_tma",
          .title = "MLA decode on Hopper: wgmma, TMA multicast, q in registers",
          .shapes = mla_decode_shapes(),
          .make = make};
}

}  // namespace kvroof::kernels
