// The rungs between FlashAttention-2 and -3 as kernels of their own, d 128, bf16,
// tiles of 128 x 128:
//   step 1  wgmma and TMA, all warps in step (together.cuh)
//   step 2  + warp specialisation: a producer warpgroup, registers moved to the others
//   step 3  + ping-pong: the warpgroups take turns at issuing products
//   step 4  + overlap: P·V also under the softmax of its own warpgroup
//   step 5  step 3 + a persistent grid, longest tiles first
//   step 6  step 5 + 2 of 16 exponentials as polynomials, lazy rescaling
// kvroof-probe ladder predicts each before it measures it.
#include <stdexcept>

#include "kernels/attention/flash_v3.cuh"
#include "kernels/attention_op.hpp"
#include "kernels/hopper/entries.hpp"
#include "kernels/hopper/prefill_case.hpp"
#include "model/attention/flash_v4.hpp"

namespace kvroof::kernels {
namespace {

using flash_v3::Options;

template <Options kOptions>
void launch(const flash_v3::Call& call, cudaStream_t stream) {
  using Tile = flash_v3::Tile<__nv_bfloat16, 128, 128, 2, 128, kOptions>;
  if (call.shape.causal) flash_v3::launch<Tile, true>(call, stream);
  else flash_v3::launch<Tile, false>(call, stream);
}

void run(const flash_v3::Call& call, int step, cudaStream_t stream) {
  switch (step) {
    case 1:
      return launch<Options{.specialised = false, .ping_pong = false, .persistent = false}>(call,
                                                                                            stream);
    case 2:
      return launch<Options{.ping_pong = false, .persistent = false}>(call, stream);
    case 3:
      return launch<Options{.persistent = false}>(call, stream);
    case 4:
      return launch<Options{.overlap = true, .persistent = false}>(call, stream);
    case 5:
      return launch<Options{}>(call, stream);
    case 6:
      return launch<Options{.poly_of_16 = 2, .lazy = 8}>(call, stream);
    default:
      throw std::invalid_argument("ladder: step is 1 to 6");
  }
}

Case make_ladder(const Args& args) {
  require_sm90a("ladder");
  const hopper::PrefillData data = hopper::prefill_data(args, Dtype::bf16, Dtype::bf16);
  const flash_v3::Shape& x = data.shape;
  if (x.d_qk != 128 || x.d_v != 128) throw std::invalid_argument("ladder: the head size is 128");
  const int step = static_cast<int>(arg(args, "step", 1));
  flash_v3::Call call = hopper::prefill_call(data);
  call.longest_first = step >= 5;
  const auto launch = [call, step, data](cudaStream_t stream) { run(call, step, stream); };
  const attention::Tile tile{.m = 128, .n = 128};
  const double poly = step == 6 ? 2 / 16. : 0;
  attention::Cost cost =
      attention::flash_v4(hopper::model_shape(x), {}, {.num_sms = gpu().num_sms},
                          {.tile = tile, .poly_share = poly, .rescale_share = step == 6 ? 0. : 1.});
  cost.work.exps = hopper::xu_lanes(
      x, tile,
      {.poly_share = poly,
       .corrections = step == 6 ? hopper::Corrections::first : hopper::Corrections::always,
       .of_correction = step == 6 ? 2 : 1,
       .placing_warps = step == 1 ? tile.m / 16 : 1});
  attention::StepPlan plan{
      .rescales = step != 6, .poly_share = poly, .poly_slots = attention::kPolySlots};
  if (step == 1) plan.products = 2;  // in step: a warpgroup waits for the products of both
  if (step == 4) {
    // It waits for its Q·K^T alone. But exponentials meet tensor work, packing P and rescaling O
    // come after them (2 cycles a score), and three FMA instructions a score displace its own P·V.
    plan.products = 0.5;
    plan.exp_slowdown = attention::kExpUnderMma;
    plan.own += 2 + 3 * attention::kFmaDisplaces;
  }
  cost.execution =
      hopper::with_cycles(cost, x, tile, 2,
                          {.section_heads = double(flash_v3::section_heads(x, 2, call.l2_share)),
                           .step = plan,
                           .longest_first = call.longest_first});
  return {.name = "ladder " + hopper::shape_name(x) + " step" + std::to_string(step),
          .op = attention_op("ladder", OpClass::prefill_attention, cost),
          .launch = launch,
          .verify = [=] { return hopper::verify_prefill(data, launch, 5e-3); }};
}

}  // namespace

Entry ladder_entry() {
  std::vector<Args> shapes;
  for (const double causal : {0., 1.})
    for (double step = 1; step <= 6; ++step)
      shapes.push_back({{"h_q", 16}, {"s_q", 16384}, {"causal", causal}, {"step", step}});
  return {.name = "ladder",
          .title = "the rungs from FlashAttention-2 to -3: wgmma, specialisation, turns, order",
          .shapes = shapes,
          .make = make_ladder};
}

}  // namespace kvroof::kernels
