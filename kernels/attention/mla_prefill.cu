// Unabsorbed MLA prefill: the latent has been expanded to a K and V of its own for every head.
//                                                    model: model/attention/mla_prefill.cpp
//   O = softmax(scale · Q·K^T + mask) · V    q, k [b, h, s, 192]   v, o [b, h, s, 128]   bf16
//   192 = 128 without position + 64 rotary, as kv_b_proj and RoPE lay them side by side
// The FlashAttention-2 forward loop with d_qk != d_v (kernels/flash_loop.cuh). Nothing is shared
// between heads.
//   HBM read   q once, k and v once (while a head's K + V fits in L2)       written   o, lse
#include "kernels/attention/entries.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/flash_forward.cuh"
#include "kernels/flash_tiles.cuh"
#include "kernels/split_kv.hpp"
#include "model/attention/mla_prefill.hpp"

namespace kvroof::kernels {
namespace {

// 32 rows a warp, as for d 128; 48 keys leave room for a second block on an SM.
using MlaPrefillTile = FlashTile<FlashShape{.d = 192, .m = 128, .n = 48, .d_v = 128}>;

Case make(const Args& args) {
  AttentionShape x = attention_shape(args);
  x.h_kv = x.h_q, x.d_qk = 192, x.d_v = 128;
  const AttentionData data = head_major_data(x, args);
  refill(data);
  const FlashParams p = flash_params(data);
  const auto launch = [=, keep = data](cudaStream_t stream) {
    launch_flash_forward<MlaPrefillTile>(p, stream);
  };
  const attention::Cost cost =
      attention::mla_prefill(x, {}, on_chip(), {.tile = flash_model_tile<MlaPrefillTile>()});
  return {.name = "mla_prefill " + shape_name(x),
          .op = attention_op("mla_prefill", OpClass::prefill_attention, cost),
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); }};
}

}  // namespace

Entry mla_prefill_entry() {
  std::vector<Args> shapes;
  for (const double s : {512., 1024., 2048., 4096., 8192.})
    for (const double causal : {0., 1.})
      shapes.push_back({{"b", 16384 / s}, {"h_q", 16}, {"s_q", s}, {"causal", causal}});
  shapes.push_back({{"h_q", 128}, {"s_q", 2048}});
  shapes.push_back({{"h_q", 16}, {"s_q", 1024}, {"s_kv", 16384}});
  return {.name = "mla_prefill",
          .title = "unabsorbed MLA prefill, heads of (192, 128), on mma.sync",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
