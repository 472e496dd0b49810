// PagedAttention decode: the cache lies in pages, found through a block table.
//                                                          model: model/attention/paged_decode.cpp
//   q, o [b, s_q, h_q, d]   k, v [pages, h_kv, page, d]   bf16
//   table [b, max_pages], lengths [b] int32
//   token j of request r is token j % page of page table[r, j / page]; pages lie in any order
// Version 1: one block per (request, K/V head) walks the whole cache. Version 2: partitions and a
// combine kernel. Unlike vLLM's own kernels both pack the group, so K and V are read once, and use
// the tensor cores. A warp reads the table for 32 of its tiles at once, 32 tiles ahead, and the
// first of them before it knows the length, while the kernel before it ends: the loop then waits
// for the table as rarely as that of gqa_decode, whose loop it is (kernels/split_kv.cuh).
//   HBM read   K and V of live tokens, the table (4 bytes a page), q      written   o, lse
#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/attention/entries.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/paged_decode.hpp"

namespace kvroof::kernels {
namespace {

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  AttentionData data = decode_data(x, args);
  reference::Attention& call = data.call;
  const auto page = static_cast<std::uint32_t>(arg(args, "block_size", 16));
  const auto pages = static_cast<int>(attention::pages(x.s_kv, page));  // per request

  std::mt19937_64 random(fresh_seed());
  std::vector<int> table(static_cast<std::size_t>(call.b * pages));
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), random);
  std::vector<int> lengths(static_cast<std::size_t>(call.b), static_cast<int>(x.s_kv));
  if (arg(args, "ragged", 0) != 0) {  // every request its own length, none shorter than s_q
    for (int& n : lengths)
      n = static_cast<int>(call.s_q +
                           static_cast<std::int64_t>(
                               random() % static_cast<std::uint64_t>(call.s_kv - call.s_q + 1)));
    call.kv_lengths.assign(lengths.begin(), lengths.end());
  }
  const std::size_t pool = table.size() * static_cast<std::size_t>(call.h_kv * page * call.d_qk);
  data.k = Buffer(2 * pool), data.v = Buffer(2 * pool);
  call.k_rows = {.token_stride = call.d_qk,
                 .head_stride = page * call.d_qk,
                 .table = table,
                 .max_pages = pages,
                 .page_size = static_cast<int>(page),
                 .page_stride = call.h_kv * page * call.d_qk};
  call.v_rows = call.k_rows;
  refill(data);

  const int version = static_cast<int>(arg(args, "version", 2));
  const int splits = version == 1 ? 1 : choose_splits(x, args);
  Buffer partials;
  const SplitParams p = split_params(data, splits, partials);
  const Buffer device_table = to_device(table), device_lengths = to_device(lengths);
  const PagedCache cache{data.k.as<__nv_bfloat16>(),
                         data.v.as<__nv_bfloat16>(),
                         device_table.as<int>(),
                         device_lengths.as<int>(),
                         pages,
                         page_shift(static_cast<int>(page)),
                         static_cast<int>(call.h_kv),
                         static_cast<int>(x.s_kv)};
  const int d = static_cast<int>(x.d_qk);
  const auto launch = [=, keep = std::vector{data.q, data.k, data.v, data.o, data.lse, partials,
                                             device_table, device_lengths}](cudaStream_t stream) {
    launch_split(p, cache, d, stream);
  };
  const attention::Cost cost = attention::paged_decode(x, {}, on_chip(),
                                                       {.tile = decode_kernel_tile(d),
                                                        .block_size = static_cast<double>(page),
                                                        .splits = static_cast<double>(splits),
                                                        .paged_version = version});
  return {.name = "paged_decode v" + std::to_string(version) + " page" + std::to_string(page) +
                  " " + shape_name(x) + " splits" + std::to_string(splits),
          .op = attention_op("paged_decode", OpClass::decode_attention, cost),
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); },
          .kernels_per_launch = splits > 1 ? 2 : 1};
}

}  // namespace

Entry paged_decode_entry() {
  const auto shape = [](double b, double h_q, double s_kv, double page, double version) {
    return Args{{"b", b},       {"h_q", h_q},         {"h_kv", 8},
                {"s_kv", s_kv}, {"block_size", page}, {"version", version}};
  };
  return {
      .name = "paged_decode",
      .title = "decode through a block table: v1 one pass, v2 partitions",
      .shapes = {shape(32, 32, 8192, 8, 1), shape(32, 32, 8192, 16, 1), shape(32, 32, 8192, 64, 1),
                 shape(32, 32, 8192, 256, 1), shape(64, 32, 2048, 16, 1),
                 shape(64, 64, 4096, 16, 1), shape(8, 64, 32768, 16, 2), shape(1, 64, 131072, 8, 2),
                 shape(1, 64, 131072, 16, 2), shape(1, 64, 131072, 256, 2),
                 shape(16, 32, 4096, 32, 2), shape(1, 32, 8192, 16, 2)},
      .make = make};
}

}  // namespace kvroof::kernels
