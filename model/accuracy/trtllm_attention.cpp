#include "model/accuracy/trtllm_attention.hpp"

#include <algorithm>

#include "model/accuracy/pass.hpp"
#include "model/attention/variant.hpp"
#include "model/time.hpp"

namespace kvroof::accuracy {
namespace {

/// A generation's kernels. Both constants were set by hand on the public tables of H100 and B200;
/// H200, GB200 and A100 judge them.
///   fill      a tile's first loads and its last stores, which no other tile of the SM hides
///   mask      FP32 instructions for each score of a tile that the mask cuts, by format: windows of
///             128 at d 64
struct Kernels {
  std::string_view variant;
  Seconds fill;
  double mask = 0, mask_fp8 = 0;
};

Kernels kernels_of(const Machine& m) {
  if (m.architecture == "hopper") return {"flash_v3", Seconds{1.5e-6}, 17, 40};
  if (m.architecture == "blackwell") return {"flash_v4", Seconds{3e-6}, 6, 6};
  return {"flash_v2", Seconds{1.5e-6}};
}

constexpr double kOverlapOnHopper = 0.3,
                 kOverlapOnBlackwell = 0.75;  // as flash_v3's and flash_v4's

attention::Tile tile_of(const AttentionShape& x, const Machine& m) {
  if (m.architecture == "hopper") {
    // Two groups of warps with 64 rows each; the second is left out where it has none.
    const int n = x.d_qk <= 64 ? 256 : x.d_qk <= 128 ? 128 : 64;
    return {.m = x.s_q <= 64 ? 64 : 128, .n = n, .overlap = kOverlapOnHopper};
  }
  if (m.architecture == "blackwell")
    return {.m = 128, .n = 128, .mma_rows = 128, .overlap = kOverlapOnBlackwell};
  return {.m = 64, .n = 64, .mma_rows = 16, .mma_sync = true};
}

OnChip on_chip(const Machine& m) { return {.num_sms = m.num_sms, .l2_effective = m.l2_effective}; }

/// The fixed time of a class of attention kernels as these tables show it: a launch like any other,
/// and a fill for each wave of tiles.
Machine with_fill(Machine m, OpClass of) {
  ClassFit& fit = m.fit[static_cast<std::size_t>(of)];
  fit.ramp = m.fit_of(OpClass::elementwise).ramp;
  fit.block = kernels_of(m).fill;
  return m;
}

Op op_of(std::string_view name, OpClass of, const attention::Cost& cost) {
  Op op;
  op.name = name, op.op_class = of;
  op.work = cost.work, op.execution = cost.execution, op.handed_over = cost.handed_over;
  return op;
}

bool multiplies_fp8(Dtype cache, const Machine& m) {
  return info(cache).math == MathType::fp8 && m.roof(MathType::fp8).peak > Throughput{};
}

/// Scores of tiles that the mask cuts: all of a window's, else those on the diagonal.
double masked_scores(const AttentionShape& x, const attention::Tile& t, const Work& w) {
  const double scores = 1.0 * t.m * t.n;
  const double visited = w.exps / (scores + t.m * t.row_lanes);
  const bool local = x.window > 0 && x.window < x.s_kv;
  return scores * (local ? visited : std::min(visited, w.ctas * std::max(1.0, 1.0 * t.m / t.n)));
}

Seconds prompt_kernel_time(AttentionShape x, bool fp8, const Machine& machine) {
  const Kernels kernels = kernels_of(machine);
  const MathType math = fp8 ? MathType::fp8 : MathType::bf16;
  const attention::Formats formats{
      .act = Dtype::bf16, .kv = fp8 ? Dtype::fp8 : Dtype::bf16, .math = math};
  const attention::Tile tile = tile_of(x, machine);
  const double group = x.group();
  x.h_kv = x.h_q;
  attention::Cost cost =
      attention::find_variant(kernels.variant)
          ->cost(x, formats, on_chip(machine), {.tile = tile, .lse = false, .poly_share = 0});
  cost.work.read.kv = (1 / group) * cost.work.read.kv;
  cost.handed_over = Bytes{};  // by nothing that runs in the same replay
  const double slots = fp8 ? kernels.mask_fp8 : kernels.mask;
  cost.work.fp32 += Flops{2 * slots * masked_scores(x, tile, cost.work)};

  Machine m = with_fill(machine, OpClass::prefill_attention);
  // FP8 products reach as much less of their peak as a GEMM's do.
  m.fit[static_cast<std::size_t>(OpClass::prefill_attention)].compute *=
      m.format_of(OpClass::gemm, math).compute;
  Op op = op_of("prefill_attention", OpClass::prefill_attention, cost);
  op.math = math;
  return time(op, m, Launch::graph).expected;
}

/// A pass whose thread blocks load the same lines again: L2 gives it about half of its read rate (set
/// by hand on H100).
Seconds rotation_time(Bytes hbm, Bytes l2, const Machine& m) {
  constexpr double kShareOfL2 = 0.55;
  return pass_time(m, {}) + max(pass_time(m, hbm, 0), l2 / (kShareOfL2 * m.l2.achieved));
}

Seconds launches(const Machine& m) { return m.launch.graph_launch + pass_time(m, {}); }

}  // namespace

Seconds context_attention_time(const GroupedAttention& a, const Prompts& x, const Machine& m) {
  const double rows = x.requests * x.tokens;
  const double q = rows * a.h_q * a.d_qk, kv = rows * a.h_kv * (a.d_qk + a.d_v);
  const bool fp8 = multiplies_fp8(x.cache, m);
  const double product = fp8 ? 1 : 2, cached = element_size(x.cache).value;
  const Bytes written{q * product + kv * (product / 2 + cached)};
  const AttentionShape shape{.b = x.requests,
                             .s_q = x.tokens,
                             .s_kv = x.tokens + x.past,
                             .h_q = 1.0 * a.h_q,
                             .h_kv = 1.0 * a.h_kv,
                             .d_qk = 1.0 * a.d_qk,
                             .d_v = 1.0 * a.d_v,
                             .window = 1.0 * a.window};
  return launches(m) + rotation_time(Bytes{2 * (q + kv)} + written, Bytes{10 * q} + written, m) +
         prompt_kernel_time(shape, fp8, m);
}

Seconds context_attention_time(const LatentAttention& a, const Prompts& x, const Machine& m) {
  const double rows = x.requests * x.tokens, heads = rows * a.h_q, d_qk = a.d_nope + a.d_rope;
  const double latent = rows * (a.d_c + a.d_rope);
  const bool fp8 = multiplies_fp8(x.cache, m);
  const Bytes written = Bytes{4 * heads * a.d_rope} + Elements{latent} * element_size(x.cache);
  // Every head loads its q and the token's k, and as many bytes of cosines and sines.
  const Seconds rotation = rotation_time(Bytes{2 * heads * a.d_rope + 2 * latent} + written,
                                         Bytes{8 * heads * a.d_rope + 2 * latent} + written, m);
  const Bytes converted{3 * heads * (2 * d_qk + a.d_v)};
  const AttentionShape shape{.b = x.requests,
                             .s_q = x.tokens,
                             .s_kv = x.tokens + x.past,
                             .h_q = 1.0 * a.h_q,
                             .h_kv = 1.0 * a.h_q,
                             .d_qk = d_qk,
                             .d_v = 1.0 * a.d_v};
  return launches(m) + rotation + (fp8 ? pass_time(m, converted) : Seconds{}) +
         prompt_kernel_time(shape, fp8, m);
}

Seconds generation_attention_time(const GroupedAttention& a, const Prompts& x,
                                  const Machine& machine) {
  constexpr double kMostGrouped = 32;
  const bool alone = a.h_q > kMostGrouped * a.h_kv;
  const bool rotates = alone || (machine.architecture == "hopper" && info(x.cache).bits == 8);
  const double tokens = x.past + x.tokens;
  const AttentionShape shape{.b = x.requests,
                             .s_kv = tokens,
                             .h_q = 1.0 * a.h_q,
                             .h_kv = 1.0 * a.h_kv,
                             .d_qk = 1.0 * a.d_qk,
                             .d_v = 1.0 * a.d_v,
                             .window = 1.0 * a.window};
  const bool local = a.window > 0 && a.window < tokens;
  const attention::Cost cost = attention::find_variant(alone   ? "masked_mha"
                                                       : local ? "sliding_window"
                                                               : "flash_decoding")
                                   ->cost(shape, {.kv = x.cache}, on_chip(machine), {});
  const Seconds kernel = time(op_of("attention", OpClass::decode_attention, cost),
                              with_fill(machine, OpClass::decode_attention), Launch::graph)
                             .expected;
  const double q = x.requests * a.h_q * a.d_qk, kv = x.requests * a.h_kv * (a.d_qk + a.d_v);
  const Bytes written = Bytes{2 * q} + Elements{kv} * element_size(x.cache);
  const Seconds rotation =
      rotates ? Seconds{}
              : rotation_time(Bytes{2 * (q + kv)} + written, Bytes{10 * q} + written, machine);
  return machine.launch.graph_launch + rotation + kernel;
}

Seconds unsplit_latent_time(const LatentAttention& a, const Prompts& x, const Machine& m) {
  const AttentionShape shape{.b = x.requests,
                             .s_kv = x.past + x.tokens,
                             .h_q = 1.0 * a.h_q,
                             .d_qk = 1.0 * a.d_c + a.d_rope,
                             .d_v = 1.0 * a.d_c};
  const attention::Cost cost = attention::find_variant("mla_decode")
                                   ->cost(shape, {.kv = x.cache}, on_chip(m), {.splits = 1});
  return time(op_of("attention", OpClass::decode_attention, cost), m, Launch::graph).expected;
}

}  // namespace kvroof::accuracy
