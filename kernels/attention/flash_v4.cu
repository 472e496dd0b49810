// FlashAttention-4's ideas on Hopper, each on a switch, d 128, bf16.
//                                                              model: model/attention/flash_v4.cpp
//   poly            of every 16 exponentials, how many are polynomials on the FMA pipe: 0, 2, 4
//   lazy            O is rescaled only when a row's maximum grows by more than 2^8
//   longest_first   long causal tiles are handed out before short ones
// Zadouri et al. 2026 (arXiv:2603.05451), sections 3.1 to 3.3. The loop is flash_v3's, shapes and
// layouts too. What each is worth on an H200 stands in reports/h200-sxm-141gb/validate.csv:
// polynomials cost here, because FMA instructions and wgmma compete for the same issue and register
// ports. Blackwell's own kernel (tcgen05, tensor memory) is flash_v4_tcgen05.cuh; it was compiled
// but never run.
#include <stdexcept>

#include "kernels/attention/flash_v3.cuh"
#include "kernels/attention_op.hpp"
#include "kernels/hopper/entries.hpp"
#include "kernels/hopper/prefill_case.hpp"
#include "model/attention/flash_v4.hpp"

namespace kvroof::kernels {
namespace {

using flash_v3::Options;
constexpr int kKeys = 128, kRows = 128;

struct Choice {
  int poly;
  bool lazy, longest_first;
};
Choice choice_of(const Args& args) {
  return {static_cast<int>(arg(args, "poly", 2)), arg(args, "lazy", 1) != 0,
          arg(args, "longest_first", 1) != 0};
}

template <Options kOptions>
void launch(const flash_v3::Call& call, cudaStream_t stream) {
  using Tile = flash_v3::Tile<__nv_bfloat16, 128, 128, kRows / 64, kKeys, kOptions>;
  if (call.shape.causal) flash_v3::launch<Tile, true>(call, stream);
  else flash_v3::launch<Tile, false>(call, stream);
}

void run(const flash_v3::Call& call, const Choice& c, cudaStream_t stream) {
  switch (c.poly * 2 + c.lazy) {
    case 0:
      return launch<Options{}>(call, stream);
    case 1:
      return launch<Options{.lazy = 8}>(call, stream);
    case 4:
      return launch<Options{.poly_of_16 = 2}>(call, stream);
    case 5:
      return launch<Options{.poly_of_16 = 2, .lazy = 8}>(call, stream);
    case 8:
      return launch<Options{.poly_of_16 = 4}>(call, stream);
    case 9:
      return launch<Options{.poly_of_16 = 4, .lazy = 8}>(call, stream);
    default:
      throw std::invalid_argument("flash_v4: poly is 0, 2 or 4");
  }
}

Case make_flash_v4(const Args& args) {
  require_sm90a("flash_v4");
  const hopper::PrefillData data = hopper::prefill_data(args, Dtype::bf16, Dtype::bf16);
  const flash_v3::Shape& x = data.shape;
  if (x.d_qk != 128 || x.d_v != 128) throw std::invalid_argument("flash_v4: the head size is 128");
  const Choice choice = choice_of(args);
  flash_v3::Call call = hopper::prefill_call(data);
  call.longest_first = choice.longest_first;
  const auto launch = [call, choice, data](cudaStream_t stream) { run(call, choice, stream); };
  attention::Tile tile{.m = kRows, .n = kKeys};
  attention::Cost cost = attention::flash_v4(
      hopper::model_shape(x), {}, {.num_sms = gpu().num_sms},
      {.tile = tile, .poly_share = choice.poly / 16., .rescale_share = choice.lazy ? 0. : 1.});
  cost.work.exps =
      hopper::xu_lanes(x, tile,
                       {.poly_share = choice.poly / 16.,
                        .corrections = !choice.lazy       ? hopper::Corrections::always
                                       : choice.poly == 0 ? hopper::Corrections::unmasked
                                                          : hopper::Corrections::first,
                        .of_correction = choice.poly == 0 ? 1 : 2});
  cost.execution =
      hopper::with_cycles(cost.execution, x, tile, 2, flash_v3::section_heads(x, 2, call.l2_share),
                          {.rescales = !choice.lazy,
                           .poly_share = choice.poly / 16.,
                           .poly_slots = attention::kPolySlots});
  const std::string options = " poly" + std::to_string(choice.poly) + (choice.lazy ? " lazy" : "") +
                              (choice.longest_first ? "" : " in order");
  return {.name = "flash_v4 " + hopper::shape_name(x) + options,
          .op = attention_op("flash_v4", OpClass::prefill_attention, cost),
          .launch = launch,
          .verify = [=] { return hopper::verify_prefill(data, launch, 5e-3); }};
}

}  // namespace

Entry flash_v4_entry() {
  std::vector<Args> shapes;
  for (const double causal : {0., 1.})
    for (const auto& [poly, lazy, longest] : {std::array{0., 0., 1.},
                                              {0., 0., 0.},
                                              {0., 1., 1.},
                                              {2., 0., 1.},
                                              {4., 0., 1.},
                                              {2., 1., 1.}})
      shapes.push_back({{"b", 2},
                        {"h_q", 16},
                        {"s_q", 8192},
                        {"causal", causal},
                        {"poly", poly},
                        {"lazy", lazy},
                        {"longest_first", longest}});
  return {.name = "flash_v4",
          .title = "FlashAttention-4's ideas on Hopper: polynomial exp2, lazy rescaling, order",
          .shapes = shapes,
          .make = make_flash_v4};
}

}  // namespace kvroof::kernels
