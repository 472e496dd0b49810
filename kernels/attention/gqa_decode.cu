// GQA decode, one pass over the cache, unsplit.       model: model/attention/gqa_decode.cpp
//   o = softmax(scale · q·K^T) · V      q, o [b, s_q, h_q, d]   k, v [b, h_kv, s_kv, d]   bf16
// One block per (request, K/V head): its h_q / h_kv query heads are the rows of one mma tile and
// share every K/V row, which is read from HBM once. MHA is h_kv = h_q, MQA is h_kv = 1 (groups
// above 16 take one block per 16 rows; the later ones find K and V in L2). The loop:
// kernels/split_kv.cuh.
//   HBM read   b·h_kv·s_kv·2·d + q elements        written   o, lse
#include "kernels/attention/entries.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/gqa_decode.hpp"

namespace kvroof::kernels {
namespace {

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  const AttentionData data = decode_data(x, args);
  refill(data);
  Buffer none;
  const SplitParams p = split_params(data, 1, none);
  const DenseCache cache = contiguous_cache(data.k, data.v, data.call.h_kv, data.call.s_kv);
  const int d = static_cast<int>(x.d_qk);
  const auto launch = [=, keep = data](cudaStream_t stream) { launch_split(p, cache, d, stream); };
  const attention::Cost cost =
      attention::gqa_decode(x, {}, on_chip(), {.tile = decode_kernel_tile(d)});
  return {.name = "gqa_decode " + shape_name(x),
          .op = attention_op("gqa_decode", OpClass::decode_attention, cost),
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); }};
}

}  // namespace

Entry gqa_decode_entry() {
  return {.name = "gqa_decode",
          .title = "decode, one block per request and K/V head (MHA, GQA, MQA)",
          .shapes = {{{"b", 64}, {"h_q", 32}, {"h_kv", 32}, {"s_kv", 2048}},
                     {{"b", 64}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 2048}},
                     {{"b", 64}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 8192}},
                     {{"b", 32}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 8192}},
                     {{"b", 32}, {"h_q", 64}, {"h_kv", 8}, {"s_kv", 8192}},
                     {{"b", 256}, {"h_q", 32}, {"h_kv", 1}, {"s_kv", 4096}},
                     {{"b", 32}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 8192}, {"d", 64}},
                     {{"b", 32}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 4096}, {"d", 256}},
                     {{"b", 128}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 1024}},
                     {{"b", 16}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 512}},   // 17 MB: L2
                     {{"b", 16}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 1024}},  // 34 MB
                     {{"b", 33}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 4096}},  // two whole waves
                     {{"b", 34}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", 4096}},  // and a bit
                     {{"b", 8}, {"h_q", 64}, {"h_kv", 8}, {"s_kv", 32768}}},
          .make = make};
}

}  // namespace kvroof::kernels
