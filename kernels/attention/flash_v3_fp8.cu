// FlashAttention-3 forward in FP8 (E4M3).                    model: model/attention/flash_v3.cpp
//   S = scale · Q · K^T      P = softmax(S)      O = P · V      fp32 accumulation
//   q [b, h_q, s_q, D]   k, v [b, h_kv, s_kv, D] in E4M3         o [b, h_q, s_q, D] bf16
//   a scale for each head, or for every 64 rows of Q and 128 of K and V
// Shah et al., FlashAttention-3 (arXiv:2407.08608), section 3.3.
//
// The loop is flash_v3's. What FP8 changes: wgmma has twice the rate and takes both operands with
// the contraction along their rows only, so V is needed transposed; and the accumulator of Q·K^T
// does not have its columns where the 8-bit A operand wants them. One pass over V mends both: it
// writes V^T [D, s_kv] with the keys of every 16 in the order in which P comes out of the softmax.
// The pass reads and writes V once (the paper does it in shared memory, by the producer); at
// s_q = 16K it is 1 % of the time. P starts at 2^4, clear of E4M3's subnormals, and may grow to 2^8
// before O is rescaled.
#include <cstddef>
#include <stdexcept>

#include "kernels/attention/flash_v3.cuh"
#include "kernels/attention/flash_v3_fp8.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/hopper/entries.hpp"
#include "kernels/hopper/fp8_data.hpp"
#include "kernels/hopper/prefill_case.hpp"
#include "model/attention/flash_v3.hpp"

namespace kvroof::kernels::flash_v3_fp8 {
namespace {

using E4m3 = __nv_fp8_e4m3;
using flash_v3::Call;
using flash_v3::Shape;

constexpr int kBlock = 64;  // keys a thread block transposes
int padded_keys(int s_kv) { return (s_kv + kBlock - 1) / kBlock * kBlock; }
__host__ __device__ int key_blocks(int s_kv) { return (s_kv + kKeyBlock - 1) / kKeyBlock; }
std::size_t transposed_bytes(const Shape& x) {
  return static_cast<std::size_t>(x.b) * static_cast<std::size_t>(x.h_kv) *
         static_cast<std::size_t>(x.d_v) * static_cast<std::size_t>(padded_keys(x.s_kv));
}
std::size_t key_scale_bytes(const Shape& x) {
  return static_cast<std::size_t>(x.b) * static_cast<std::size_t>(x.h_kv) *
         static_cast<std::size_t>(key_blocks(x.s_kv)) * sizeof(flash_v3::KeyScale);
}

/// Scales of K and V by key blocks [b·h_kv, blocks] -> what the softmax takes; nullptr without.
struct BlockScales {
  const float *k, *v;
  flash_v3::KeyScale* out;
};

/// v [b·h_kv, s_kv, kD] -> out [b·h_kv, kD, padded], keys permuted, zeros past the end
template <int kD>
__global__ void __launch_bounds__(256) transpose_v(const std::uint8_t* v, std::uint8_t* out,
                                                   int s_kv, int padded, BlockScales scales) {
  __shared__ std::uint8_t tile[kBlock][kD + 4];
  const int key0 = static_cast<int>(blockIdx.x) * kBlock;
  const std::int64_t head = blockIdx.y;
  if (scales.out != nullptr && threadIdx.x == 0 && key0 % kKeyBlock == 0) {
    const std::int64_t at = head * key_blocks(s_kv) + key0 / kKeyBlock;
    scales.out[at] = {scales.k[at], log2f(scales.v[at]), 1 / scales.v[at], 0};
  }
  v += head * s_kv * kD, out += head * kD * padded;
  for (int i = static_cast<int>(threadIdx.x) * 4; i < kBlock * kD; i += 256 * 4) {
    const int key = i / kD, d = i % kD;
    *reinterpret_cast<std::uint32_t*>(&tile[key][d]) =
        key0 + key < s_kv
            ? *reinterpret_cast<const std::uint32_t*>(v + (key0 + key) * std::int64_t{kD} + d)
            : 0;
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kD * kBlock / 16; i += 256) {
    const int d = i / (kBlock / 16), group = i % (kBlock / 16) * 16;
    alignas(16) std::uint8_t keys[16];
#pragma unroll
    for (int p = 0; p < 16; ++p) keys[p] = tile[group + hopper::e4m3_key_order(p)][d];
    *reinterpret_cast<uint4*>(out + d * std::int64_t{padded} + key0 + group) =
        *reinterpret_cast<const uint4*>(keys);
  }
}

/// Partial results of the tiles that were cut by keys -> o, lse. A warp takes a row of Tile::kDv
/// values, four a lane.
template <class Tile>
__global__ void combine(Call c, flash_v3::LastWave last, int section) {
  static_assert(Tile::kDv == 4 * 32);
  const Shape& x = c.shape;
  const int row = static_cast<int>(blockIdx.x * 4 + threadIdx.x / 32), lane = threadIdx.x % 32;
  const int cut = row / Tile::kRows, in_tile = row - cut * Tile::kRows;
  const int q_tiles = (x.s_q + Tile::kRows - 1) / Tile::kRows;
  const auto [head, q_tile] =
      flash_v3::row_tile(last.whole + cut, section, x.b * x.h_q, q_tiles, c.longest_first);
  const int token = q_tile * Tile::kRows + in_tile;
  if (token >= x.s_q) return;
  const auto part_row = [&](int part) {
    return (std::int64_t{cut} * last.parts + part) * Tile::kRows + in_tile;
  };
  float top = -INFINITY, sum = 0;
  for (int i = 0; i < last.parts; ++i) top = fmaxf(top, c.part_lse2[part_row(i)]);
  float4 o = make_float4(0, 0, 0, 0);
  for (int i = 0; i < last.parts; ++i) {
    const float weight = top > -INFINITY ? exp2f(c.part_lse2[part_row(i)] - top) : 0;
    const float4 part = reinterpret_cast<const float4*>(c.part_o + part_row(i) * Tile::kDv)[lane];
    o.x += weight * part.x, o.y += weight * part.y;
    o.z += weight * part.z, o.w += weight * part.w;
    sum += weight;
  }
  const int b = head / x.h_q, h = head - b * x.h_q;
  auto* out = static_cast<typename Tile::Out*>(c.o.data) + b * c.o.stride_b + h * c.o.stride_h +
              token * c.o.stride_s + 4 * lane;
  const float factor = sum > 0 ? 1 / sum : 0;
  *reinterpret_cast<uint2*>(out) =
      make_uint2(hopper::pack2<typename Tile::Out>(o.x * factor, o.y * factor),
                 hopper::pack2<typename Tile::Out>(o.z * factor, o.w * factor));
  if (c.lse != nullptr && lane == 0)
    c.lse[std::int64_t{head} * x.s_q + token] =
        sum > 0 ? (top + log2f(sum)) * 0.6931471806f : -INFINITY;
}

// With E4M3 the softmax of a tile takes longer than its products, so three warpgroups share an SM;
// they fit its registers because S waits for O += P·V (chained). Short rows and d 256 have less to
// hide: two warpgroups, and no turns. Lazy rescaling is worth 20 % at d 256: there O is as large as
// S. Maxima of three operands save half of their instructions: 3 % at d 128. With a full mask the
// last tiles are cut by keys, where SMs would idle for most of a tile: 5 % at 16K. Row sums from a
// column of ones in V^T would save another addition a score, but E4M3 products accumulate to 14
// bits or so: over 16K keys the sums were a third too small.
constexpr flash_v3::Options kFree{.ping_pong = false, .lazy = 4};
constexpr flash_v3::Options kThree{.chained = true, .max3 = true, .lazy = 4};
constexpr flash_v3::Options kCut{.chained = true, .max3 = true, .splits = true, .lazy = 4};

constexpr flash_v3::Options scaled(flash_v3::Options options, bool by_blocks) {
  options.block_scales = by_blocks;
  return options;
}
template <int kD, int kWarpgroups, flash_v3::Options kOptions, bool kBlocks>
using Tile = flash_v3::Tile<E4m3, kD, kD, kWarpgroups, kKeyBlock, scaled(kOptions, kBlocks)>;

template <bool kBlocks = false, class F>
auto with_tile(const Shape& x, const F& f) {
  if (x.d_qk == x.d_v && x.d_qk == 128)
    return x.s_kv <= 1024 ? f.template operator()<Tile<128, 2, kFree, kBlocks>>()
           : x.causal     ? f.template operator()<Tile<128, 3, kThree, kBlocks>>()
                          : f.template operator()<Tile<128, 3, kCut, kBlocks>>();
  if (x.d_qk == x.d_v && x.d_qk == 256)
    return f.template operator()<Tile<256, 2, kFree, kBlocks>>();
  throw std::invalid_argument("flash_v3_fp8: head sizes are 128 and 256");
}
template <class F>
void with_tile_of(const Call& c, const F& f) {
  if (c.block_scales) with_tile<true>(c.shape, f);
  else with_tile<false>(c.shape, f);
}

}  // namespace

std::size_t workspace_bytes(const Shape& x) {
  const flash_v3::LastWave last = last_wave(x);
  const std::size_t rows = static_cast<std::size_t>(last.cut) *
                           static_cast<std::size_t>(last.parts) *
                           static_cast<std::size_t>(flash_v3_fp8::tile_size(x).rows);
  return transposed_bytes(x) + key_scale_bytes(x) +
         rows * static_cast<std::size_t>(x.d_v + 1) * sizeof(float);
}

flash_v3::LastWave last_wave(const Shape& x) {
  return with_tile(x, [&]<class Tile>() -> flash_v3::LastWave {
    if constexpr (Tile::kOptions.splits)
      return flash_v3::last_wave(x, {Tile::kRows, Tile::kKeys}, gpu().num_sms);
    else return {};
  });
}

void run(const Call& given, void* workspace, cudaStream_t stream) {
  Call c = given;
  const Shape& x = c.shape;
  const int padded = padded_keys(x.s_kv);
  auto* const key_scales = reinterpret_cast<flash_v3::KeyScale*>(
      static_cast<std::byte*>(workspace) + transposed_bytes(x));
  BlockScales scales{};
  if (c.block_scales) {
    scales = {c.k_scale, c.v_scale, key_scales};
    c.key_scales = key_scales;
  }
  with_tile_of(c, [&]<class Tile>() {
    const dim3 grid(static_cast<unsigned>(padded / kBlock), static_cast<unsigned>(x.b * x.h_kv));
    transpose_v<Tile::kDv><<<grid, 256, 0, stream>>>(static_cast<const std::uint8_t*>(c.v.data),
                                                     static_cast<std::uint8_t*>(workspace), x.s_kv,
                                                     padded, scales);
    CUDA_CHECK(cudaGetLastError());
    const std::int64_t head = std::int64_t{x.d_v} * padded;
    c.v = {workspace, head * x.h_kv, head, padded};
    if constexpr (Tile::kOptions.splits) {
      const flash_v3::LastWave last = last_wave(x);
      const std::int64_t rows = std::int64_t{last.cut} * Tile::kRows;
      c.part_o =
          reinterpret_cast<float*>(reinterpret_cast<std::byte*>(key_scales) + key_scale_bytes(x));
      c.part_lse2 = c.part_o + rows * last.parts * x.d_v;
      flash_v3::launch<Tile, false>(c, stream);
      if (last.parts < 2) return;
      combine<Tile><<<static_cast<unsigned>(rows / 4), 4 * 32, 0, stream>>>(
          c, last, flash_v3::section_heads(x, sizeof(E4m3), c.l2_share));
      CUDA_CHECK(cudaGetLastError());
    } else if (x.causal) {
      flash_v3::launch<Tile, true>(c, stream);
    } else {
      flash_v3::launch<Tile, false>(c, stream);
    }
  });
}

flash_v3::TileSize tile_size(const Shape& x) {
  return with_tile(x, [&]<class Tile>() { return flash_v3::TileSize{Tile::kRows, Tile::kKeys}; });
}

namespace {

/// XU instructions of a consumer warp at each row tile: the K/V head that scales belong to, and the
/// range checks of v_scale / l for its rows, eight to an instruction.
constexpr int kWarpXu = kDivisionXu + 2;

/// Cycles of a step that the scales of its keys cost.
double scale_cycles(const Shape& x) {
  return with_tile(x, [&]<class Tile>() {
    return Tile::kOptions.chained ? attention::kScaleAhead : attention::kScaleAfterScores;
  });
}

/// What cut tiles add on the XU pipe, per lane: ends and place of each further part (whose range of
/// keys takes two divisions), and a warp of combine() for every row.
double cut_xu_lanes(const Shape& x, const attention::Tile& t, const flash_v3::LastWave& last) {
  const int warps = t.m / 16, q_tiles = (x.s_q + t.m - 1) / t.m;
  const double part_ends = warps * (2 + kWarpXu) + hopper::kPlaceXu;
  const double rows = 1. * x.s_q / q_tiles;  // of a tile, on average
  const double merging = t.m * 2 * kDivisionXu + rows * (last.parts + 1 + kDivisionXu);
  return 32. * last.cut * ((last.parts - 1) * part_ends + last.parts * 2 * kDivisionXu + merging);
}

/// The passes that quantise Q, K and V.
double quantising_xu_lanes(const Shape& x) {
  const int q = x.b * x.h_q, kv = x.b * x.h_kv;
  return quantise_xu_lanes({.groups = q, .rows = x.s_q, .d = x.d_qk, .block = kQueryBlock}) +
         quantise_xu_lanes({.groups = kv, .rows = x.s_kv, .d = x.d_qk, .block = kKeyBlock}) +
         quantise_xu_lanes({.groups = kv, .rows = x.s_kv, .d = x.d_v, .block = kKeyBlock});
}

}  // namespace

}  // namespace kvroof::kernels::flash_v3_fp8

namespace kvroof::kernels {
namespace {

constexpr double kTolerance = 4e-2;  // P in E4M3

/// Which scales, and whether the launch quantises.
struct Choice {
  bool block_scales, from_bf16, incoherent;
};
Choice choice_of(const Args& args) {
  const Choice c{.block_scales = arg(args, "block_scales", 0) != 0,
                 .from_bf16 = arg(args, "from_bf16", 0) != 0,
                 .incoherent = arg(args, "incoherent", 0) != 0};
  if ((c.from_bf16 && !c.block_scales) || (c.incoherent && !c.from_bf16))
    throw std::invalid_argument("flash_v3_fp8: incoherent wants from_bf16, from_bf16 block_scales");
  return c;
}
std::string name_of(const Choice& c) {
  return std::string(c.block_scales ? " block scales" : "") + (c.from_bf16 ? " from bf16" : "") +
         (c.incoherent ? " incoherent" : "");
}

Case make_flash_v3_fp8(const Args& args) {
  require_sm90a("flash_v3_fp8");
  const hopper::PrefillData data = hopper::prefill_data(args, Dtype::fp8, Dtype::bf16);
  const flash_v3::Shape& x = data.shape;
  const Buffer workspace(flash_v3_fp8::workspace_bytes(x));
  const Choice choice = choice_of(args);
  flash_v3::Call call = hopper::prefill_call(data);
  std::function<void(cudaStream_t)> launch = [call, data, workspace](cudaStream_t stream) {
    flash_v3_fp8::run(call, workspace.as(), stream);
  };
  std::function<Verdict()> verify = [=] {
    return hopper::verify_prefill(data, launch, kTolerance);
  };
  if (choice.block_scales) {
    const hopper::BlockScaledData scaled =
        hopper::block_scaled_data(data, choice.from_bf16, choice.incoherent);
    call.block_scales = true;
    call.q_scale = scaled.q.scales.as<float>(), call.k_scale = scaled.k.scales.as<float>();
    call.v_scale = scaled.v.scales.as<float>();
    launch = [call, scaled, workspace, choice](cudaStream_t stream) {
      if (choice.from_bf16) hopper::quantise(scaled, stream);
      flash_v3_fp8::run(call, workspace.as(), stream);
    };
    verify = [=] { return hopper::verify_block_scaled(scaled, launch, kTolerance); };
  }
  const flash_v3::TileSize size = flash_v3_fp8::tile_size(x);
  attention::Tile tile = attention::flash_v3_tile(x.d_qk, x.d_v, x.causal, false, MathType::fp8);
  tile.m = size.rows, tile.n = size.keys;
  const OnChip chip{.num_sms = gpu().num_sms};
  const AttentionShape shape = hopper::model_shape(x);
  const attention::Options options{.tile = tile,
                                   .block_scales = choice.block_scales,
                                   .from_bf16 = choice.from_bf16,
                                   .incoherent = choice.incoherent};
  attention::Cost cost = attention::flash_v3_fp8(shape, chip, options);
  const flash_v3::LastWave last = flash_v3_fp8::last_wave(x);
  const attention::CutTiles cut{.tiles = double(last.cut), .parts = double(last.parts)};
  if (last.parts > 1) cost = attention::with_cut_tiles(cost, tile, x.d_qk, x.d_v, 1, cut);
  // Block scales make the jump over a correction real.
  const auto corrections =
      choice.block_scales ? hopper::Corrections::first : hopper::Corrections::unmasked;
  cost.work.exps =
      hopper::xu_lanes(x, tile, {.corrections = corrections, .of_warp = flash_v3_fp8::kWarpXu});
  if (choice.from_bf16) cost.work.exps += flash_v3_fp8::quantising_xu_lanes(x);
  if (last.parts > 1) cost.work.exps += flash_v3_fp8::cut_xu_lanes(x, tile, last);
  cost.execution = hopper::with_cycles(
      cost, x, tile, 1,
      {.section_heads = double(flash_v3::section_heads(x, 1, call.l2_share)),
       .step = {.rescales = false,
                .waits = choice.block_scales ? flash_v3_fp8::scale_cycles(x) : 0},
       .cut = cut,
       .per_tile = choice.block_scales ? attention::kScalesOfTile : 0});
  cost.execution.sm_cycles += attention::pass_cycles(shape, chip, options) +
                              attention::combine_cycles(cut, tile, x.d_v, chip);
  return {.name = "flash_v3_fp8 " + hopper::shape_name(x) + name_of(choice),
          .op = attention_op("flash_v3_fp8", OpClass::prefill_attention, cost, MathType::fp8),
          .launch = launch,
          .verify = verify,
          .kernels_per_launch = (last.parts > 1 ? 3 : 2) + (choice.from_bf16 ? 3 : 0)};
}

}  // namespace

Entry flash_v3_fp8_entry() {
  std::vector<Args> shapes;
  for (const double d : {128., 256.}) hopper::add_paper_shapes(shapes, d, d);
  for (const double from_bf16 : {0., 1., 2.})
    for (const double d : {128., 256.})
      for (const double causal : {0., 1.})
        for (const double s : {2048., 16384.})
          shapes.push_back({{"b", 16384 / s},
                            {"h_q", 2048 / d},
                            {"s_q", s},
                            {"d_qk", d},
                            {"causal", causal},
                            {"block_scales", 1},
                            {"from_bf16", from_bf16 > 0},
                            {"incoherent", from_bf16 > 1}});
  shapes.push_back({{"h_q", 16}, {"s_q", 1024}, {"causal", 1}});  // 10 MB: L2
  shapes.push_back({{"h_q", 16}, {"s_q", 2048}, {"causal", 0}});  // 21 MB
  return {.name = "flash_v3_fp8",
          .title = "FlashAttention-3 forward in E4M3",
          .shapes = shapes,
          .make = make_flash_v3_fp8};
}

}  // namespace kvroof::kernels
