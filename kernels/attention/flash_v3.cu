// FlashAttention-3: which tile runs which shape, and its row of the catalogue.
#include <algorithm>
#include <stdexcept>

#include "kernels/attention/flash_v3.cuh"
#include "kernels/attention_op.hpp"
#include "kernels/hopper/entries.hpp"
#include "kernels/hopper/prefill_case.hpp"
#include "model/attention/flash_v3.hpp"

namespace kvroof::kernels::flash_v3 {
namespace {

/// O is rescaled only when a maximum grows by more than 2^8 (Zadouri et al., arXiv:2603.05451,
/// section 3.2): on an H200 worth 1 % at d 128, 5 % at d 256 and 3-10 % at d 64.
constexpr Options kLazy{.lazy = 8};

/// f.template operator()<Tile>() of the tile for this head size and length. Short causal rows
/// prefer small tiles: less masked work.
template <class T, class F>
auto with_tile(const Shape& x, const F& f) {
  if (x.d_qk == 64 && x.d_v == 64)
    return x.causal && x.s_kv < 1536 ? f.template operator()<Tile<T, 64, 64, 2, 128, kLazy>>()
                                     : f.template operator()<Tile<T, 64, 64, 3, 128, kLazy>>();
  if (x.d_qk == 128 && x.d_v == 128)
    return f.template operator()<Tile<T, 128, 128, 2, 128, kLazy>>();
  if (x.d_qk == 256 && x.d_v == 256)
    return f.template operator()<Tile<T, 256, 256, 2, 80, kLazy>>();
  if (x.d_qk == 192 && x.d_v == 128)
    return f.template operator()<Tile<T, 192, 128, 2, 128, kLazy>>();
  throw std::invalid_argument("flash_v3: head sizes are 64, 128, 256 and (192, 128)");
}

template <class T>
void run_type(const Call& c, cudaStream_t stream) {
  with_tile<T>(c.shape, [&]<class Tile>() {
    if (c.shape.causal) launch<Tile, true>(c, stream);
    else launch<Tile, false>(c, stream);
  });
}

}  // namespace

void run(const Call& c, cudaStream_t stream) {
  const Shape& x = c.shape;
  if (x.b < 1 || x.s_q < 1 || x.s_kv < 1 || x.h_kv < 1 || x.h_q % x.h_kv != 0)
    throw std::invalid_argument("flash_v3: b, s_q, s_kv >= 1 and h_q a multiple of h_kv");
  if (c.fp16) run_type<__half>(c, stream);
  else run_type<__nv_bfloat16>(c, stream);
}

TileSize tile_size(const Shape& x) {
  return with_tile<__nv_bfloat16>(x, [&]<class Tile>() {
    return TileSize{Tile::kRows, Tile::kKeys, Tile::kQStages};
  });
}

int section_heads(const Shape& x, double element_bytes, double l2_share) {
  const double head_bytes = element_bytes * x.s_kv * (x.d_qk + x.d_v);
  const double share = x.causal ? l2_share : 0;
  const int group = x.h_q / x.h_kv, all = x.b * x.h_kv;
  const int most = static_cast<int>(std::clamp(share / head_bytes, 1., 1. * all));
  const int sections = (all + most - 1) / most;
  return (all + sections - 1) / sections * group;  // equal ones: no short one at the end
}

LastWave last_wave(const Shape& x, const TileSize& tile, int num_sms) {
  const int tiles = x.b * x.h_q * ((x.s_q + tile.rows - 1) / tile.rows), rest = tiles % num_sms;
  // Below four tiles of keys a part costs more than it saves.
  const int parts = rest == 0 ? 1 : std::min(num_sms / rest, x.s_kv / tile.keys / 4);
  if (x.causal || parts < 2) return {.whole = tiles};
  return {.whole = tiles - rest, .cut = rest, .parts = parts};
}

}  // namespace kvroof::kernels::flash_v3

namespace kvroof::kernels {

attention::Cost hopper::flash_v3_cost(const flash_v3::Shape& x, double l2_share) {
  const flash_v3::TileSize size = flash_v3::tile_size(x);
  attention::Tile tile = attention::flash_v3_tile(x.d_qk, x.d_v, x.causal, false, MathType::bf16);
  tile.m = size.rows, tile.n = size.keys, tile.p_in_smem = false;
  const OnChip chip{.num_sms = gpu().num_sms};
  attention::Cost cost = attention::flash_v3(model_shape(x), {}, chip, {.tile = tile});
  cost.work.exps = xu_lanes(x, tile);
  cost.execution = with_cycles(cost, x, tile, 2,
                               {.section_heads = double(flash_v3::section_heads(x, 2, l2_share)),
                                .step = {.rescales = false},
                                .q_stages = size.q_stages});
  return cost;
}

namespace {

Case make_flash_v3(const Args& args) {
  require_sm90a("flash_v3");
  const bool fp16 = arg(args, "fp16", 0) != 0;
  const Dtype dtype = fp16 ? Dtype::fp16 : Dtype::bf16;
  const hopper::PrefillData data = hopper::prefill_data(args, dtype, dtype);
  const flash_v3::Shape& x = data.shape;
  flash_v3::Call call = hopper::prefill_call(data);
  call.fp16 = fp16;
  call.l2_share = arg(args, "l2_share", call.l2_share);
  const auto launch = [call, data](cudaStream_t stream) { flash_v3::run(call, stream); };
  return {.name = "flash_v3 " + hopper::shape_name(x),
          .op = attention_op("flash_v3", OpClass::prefill_attention,
                             hopper::flash_v3_cost(x, call.l2_share)),
          .launch = launch,
          .verify = [=] { return hopper::verify_prefill(data, launch, 5e-3); }};
}

}  // namespace

Entry flash_v3_entry() {
  std::vector<Args> shapes;
  for (const double d : {64., 128., 256.}) hopper::add_paper_shapes(shapes, d, d);
  hopper::add_paper_shapes(shapes, 192, 128);
  shapes.push_back({{"b", 2}, {"h_q", 32}, {"h_kv", 8}, {"s_q", 4096}, {"causal", 1}});
  shapes.push_back({{"h_q", 32}, {"h_kv", 8}, {"s_q", 2048}, {"s_kv", 32768}, {"causal", 1}});
  shapes.push_back({{"h_q", 8}, {"s_q", 1024}, {"causal", 1}});   // 8 MB: L2
  shapes.push_back({{"h_q", 16}, {"s_q", 2048}, {"causal", 0}});  // 34 MB
  return {.name = "flash_v3",
          .title = "FlashAttention-3 forward: TMA, wgmma, ping-pong warpgroups",
          .shapes = shapes,
          .make = make_flash_v3};
}

}  // namespace kvroof::kernels
