// Flash-Decoding: gqa_decode with the cache cut into splits.
//                                                        model: model/attention/flash_decoding.cpp
//   split s:  o_s, lse_s = attention over its range of keys       one block per (split, K/V head)
//   combine:  o = sum_s 2^(lse_s - L)·o_s / sum_s 2^(lse_s - L)   L = max_s lse_s; one block a row
// so that few requests with long caches fill all SMs. Partial results are fp32 and stay in L2; the
// combine kernel is set up while the splits still run. Loops: kernels/split_kv.cuh, combine.cuh.
//   q, o [b, s_q, h_q, d]   k, v [b, h_kv, s_kv, d]   bf16
//   HBM read   K and V once, q      written   o, lse
#include "kernels/attention/entries.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/flash_decoding.hpp"

namespace kvroof::kernels {
namespace {

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  const AttentionData data = decode_data(x, args);
  refill(data);
  const int splits = choose_splits(x, args);
  Buffer partials;
  const SplitParams p = split_params(data, splits, partials);
  const DenseCache cache = contiguous_cache(data.k, data.v, data.call.h_kv, data.call.s_kv);
  const int d = static_cast<int>(x.d_qk);
  const auto launch = [=, keep = data](cudaStream_t stream) {
    static_cast<void>(partials);
    launch_split(p, cache, d, stream);
  };
  const attention::Cost cost = attention::flash_decoding(
      x, {}, on_chip(), {.tile = decode_kernel_tile(d), .splits = static_cast<double>(splits)});
  return {.name = "flash_decoding " + shape_name(x) + " splits" + std::to_string(splits),
          .op = attention_op("flash_decoding", OpClass::decode_attention, cost),
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); },
          .kernels_per_launch = splits > 1 ? 2 : 1};
}

}  // namespace

Entry flash_decoding_entry() {
  return {.name = "flash_decoding",
          .title = "decode with the cache split over blocks, and a combine kernel",
          .shapes = {{{"b", 1}, {"h_q", 64}, {"h_kv", 8}, {"s_kv", 131072}},
                     {{"b", 1}, {"h_q", 64}, {"h_kv", 8}, {"s_kv", 65536}},
                     {{"b", 1}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 8192}},
                     {{"b", 1}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 32768}},
                     {{"b", 4}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 32768}},
                     {{"b", 8}, {"h_q", 64}, {"h_kv", 8}, {"s_kv", 32768}},
                     {{"b", 16}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 4096}},
                     {{"b", 32}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 8192}},
                     {{"b", 2}, {"h_q", 32}, {"h_kv", 32}, {"s_kv", 16384}},
                     {{"b", 1}, {"h_q", 64}, {"h_kv", 8}, {"s_kv", 131072}, {"splits", 1}},
                     {{"b", 8}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 32768}, {"d", 64}},
                     {{"b", 4}, {"h_q", 16}, {"h_kv", 8}, {"s_kv", 16384}, {"d", 256}},
                     {{"b", 4}, {"h_q", 32}, {"h_kv", 8}, {"s_q", 4}, {"s_kv", 16384}}},
          .make = make};
}

}  // namespace kvroof::kernels
