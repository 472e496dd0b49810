#include "kernels/mla_case.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "kernels/attention_op.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/mla_decode.hpp"
#include "model/attention/paged_decode.hpp"

namespace kvroof::kernels {
namespace {

AttentionShape mla_shape(const Args& args) {
  const double s_q = arg(args, "s_q", 1);
  return {.b = arg(args, "b", 1),
          .s_q = s_q,
          .s_kv = arg(args, "s_kv", s_q),
          .h_q = arg(args, "h_q", 128),
          .h_kv = 1,
          .d_qk = MlaData::kRow,
          .d_v = MlaData::kLatent,
          .causal = true};
}

/// s_kv for every request, or lengths between s_q and s_kv.
std::vector<int> request_lengths(const reference::Attention& call, bool ragged,
                                 std::mt19937_64& random) {
  std::vector<int> lengths(static_cast<std::size_t>(call.b), static_cast<int>(call.s_kv));
  if (!ragged) return lengths;
  std::uniform_int_distribution<int> length(static_cast<int>(call.s_q),
                                            static_cast<int>(call.s_kv));
  for (int& n : lengths) n = length(random);
  return lengths;
}

}  // namespace

MlaData mla_data(const Args& args) {
  MlaData data{.shape = mla_shape(args), .page = static_cast<int>(arg(args, "block_size", 64))};
  data.attention = decode_data(data.shape, args);
  data.max_pages = static_cast<int>(attention::pages(data.shape.s_kv, data.page));
  reference::Attention& call = data.attention.call;
  call.scale = 1 / std::sqrt(192.0);  // d_nope + d_rope before the absorption, arXiv:2405.04434

  std::mt19937_64 random(fresh_seed());
  std::vector<int> table(static_cast<std::size_t>(call.b * data.max_pages));
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), random);
  const std::vector<int> lengths = request_lengths(call, arg(args, "ragged", 0) != 0, random);
  call.kv_lengths.assign(lengths.begin(), lengths.end());
  call.k_rows = {.token_stride = MlaData::kRow,
                 .table = table,
                 .max_pages = data.max_pages,
                 .page_size = data.page,
                 .page_stride = std::int64_t{data.page} * MlaData::kRow};
  call.v_rows = call.k_rows;

  data.attention.k = Buffer(table.size() * static_cast<std::size_t>(data.page) * MlaData::kRow * 2);
  data.attention.v = data.attention.k;
  data.table = to_device(table), data.lengths = to_device(lengths);
  refill(data.attention);
  return data;
}

Case mla_decode_case(std::string_view name, const MlaData& data, const MlaPlan& plan,
                     const std::function<void(cudaStream_t)>& launch) {
  const attention::Cost cost = attention::mla_decode(
      data.shape, {}, on_chip(), {.tile = plan.tile, .splits = static_cast<double>(plan.splits)});
  return {.name = std::string(name) + " " + shape_name(data.shape) + " page" +
                  std::to_string(data.page) + " splits" + std::to_string(plan.splits),
          .op = attention_op("mla_decode", OpClass::decode_attention, cost),
          .launch = [launch, keep = data](cudaStream_t stream) { launch(stream); },
          .verify = [data = data.attention, launch] { return verify_attention(data, launch); },
          .kernels_per_launch = plan.kernels};
}

std::vector<Args> mla_decode_shapes() {
  std::vector<Args> shapes;
  for (const auto& [b, h_q, s_kv, s_q] :
       std::initializer_list<std::array<double, 4>>{{1, 128, 8192, 1},
                                                    {4, 128, 4096, 1},
                                                    {16, 16, 1024, 1},
                                                    {64, 128, 512, 1},
                                                    {32, 128, 4096, 1},
                                                    {64, 128, 4096, 1},
                                                    {128, 128, 4096, 1},
                                                    {128, 128, 8192, 1},
                                                    {1, 128, 131072, 1},
                                                    {8, 16, 32768, 1},
                                                    {64, 16, 4096, 1},
                                                    {64, 64, 4096, 1},
                                                    {64, 64, 8192, 1},
                                                    {32, 128, 8192, 2}})
    shapes.push_back({{"b", b}, {"h_q", h_q}, {"s_kv", s_kv}, {"s_q", s_q}});
  return shapes;
}

}  // namespace kvroof::kernels
