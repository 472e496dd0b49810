// FlashAttention-2 forward with mma.sync: runs on sm_80 and everything newer.
//                                                    model: model/attention/flash_v2.cpp
//   O = softmax(scale · Q·K^T + mask) · V
//   q, o [b, h_q, s_q, d]   k, v [b, h_kv, s_kv, d]   bf16 or fp16
// One block per (kM query rows, head, request); the blocks of one head run side by side, so its K
// and V are read from HBM about once and by the other blocks from L2. h_q / h_kv heads share K and
// V. Causal blocks skip the tiles above the diagonal; the longest blocks of a head start first.
//   HBM read   q once, k and v once per K/V head (while a head's K + V fits in L2)
//   written    o, lse
//   L2 to SM   kM·d + tiles·2·kN·d elements per block
#include "kernels/attention_op.hpp"
#include "kernels/flash_prefill.hpp"

#include "kernels/attention/entries.hpp"
#include "kernels/flash_forward.cuh"
#include "kernels/flash_tiles.cuh"
#include "kernels/split_kv.hpp"
#include "model/attention/flash_v2.hpp"

namespace kvroof::kernels {
namespace {

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  AttentionData data = head_major_data(x, args);
  const bool fp16 = arg(args, "fp16", 0) != 0;
  data.dtype = fp16 ? Dtype::fp16 : Dtype::bf16;
  refill(data);
  const FlashParams p = flash_params(data);
  const auto launch = [=, keep = data](cudaStream_t stream) { launch_flash_v2(p, stream); };
  const attention::Cost cost =
      attention::flash_v2(x, {}, on_chip(), {.tile = flash_v2_kernel_tile(p.d)});
  return {.name = (fp16 ? "flash_v2 fp16 " : "flash_v2 ") + shape_name(x),
          .op = attention_op("flash_v2", OpClass::prefill_attention, cost,
                             fp16 ? MathType::fp16 : MathType::bf16),
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); }};
}

}  // namespace

attention::Tile flash_v2_kernel_tile(int d) {
  return with_flash_tile(d, [&]<class T>() { return flash_model_tile<T>(); });
}

FlashParams flash_params(const AttentionData& data) {
  const reference::Attention& c = data.call;
  const auto strides = [](const reference::Rows& r) {
    return Strides{r.request_stride, r.head_stride, r.token_stride};
  };
  const auto whole = [](std::int64_t n) { return static_cast<int>(n); };
  FlashParams p{.q = data.q.as(),
                .k = data.k.as(),
                .v = data.v.as(),
                .o = data.o.as(),
                .lse = data.lse.as<float>(),
                .q_strides = strides(c.q_rows),
                .k_strides = strides(c.k_rows),
                .v_strides = strides(c.v_rows),
                .o_strides = strides(data.o_rows),
                .b = whole(c.b),
                .h_q = whole(c.h_q),
                .h_kv = whole(c.h_kv),
                .s_q = whole(c.s_q),
                .d = whole(c.d_qk),
                .band = {.s_kv = whole(c.s_kv)},
                .scale = static_cast<float>(c.scale),
                .fp16 = data.dtype == Dtype::fp16};
  if (c.causal || c.window > 0) p.band.diagonal = whole(c.s_kv - c.s_q);
  if (c.window > 0 && c.window < c.s_kv)
    p.band.window = whole(c.window), p.band.sinks = whole(c.sinks);
  return p;
}

void launch_flash_v2(const FlashParams& p, cudaStream_t stream) {
  const auto launch = [&]<class T>() { launch_flash_forward<T>(p, stream); };
  if (p.fp16) with_flash_tile<Fp16>(p.d, launch);
  else with_flash_tile(p.d, launch);
}

Entry flash_v2_entry() {
  std::vector<Args> shapes;
  for (const double d : {64., 128., 256.})  // 16K tokens in total, h·d = 2048, as the papers plot
    for (const double s : {512., 2048., 8192., 16384.})
      for (const double causal : {0., 1.})
        shapes.push_back(
            {{"b", 16384 / s}, {"h_q", 2048 / d}, {"s_q", s}, {"d", d}, {"causal", causal}});
  shapes.push_back({{"b", 2}, {"h_q", 32}, {"h_kv", 8}, {"s_q", 4096}, {"causal", 1}});
  shapes.push_back({{"b", 1}, {"h_q", 32}, {"h_kv", 8}, {"s_q", 2048}, {"s_kv", 32768}});
  shapes.push_back({{"b", 2}, {"h_q", 16}, {"s_q", 8192}, {"fp16", 1}});
  shapes.push_back({{"h_q", 8}, {"s_q", 1024}, {"causal", 1}});   // 8 MB: L2
  shapes.push_back({{"h_q", 16}, {"s_q", 2048}, {"causal", 0}});  // 34 MB
  return {.name = "flash_v2",
          .title = "FlashAttention-2 forward on mma.sync",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
