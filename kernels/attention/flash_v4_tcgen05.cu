// FlashAttention-4 on Blackwell as a row of the catalogue; the kernel and its header are in
// flash_v4_tcgen05.cuh. NEVER RUN: no GPU of compute capability 10.0 was at hand.
//   args  in_order  1: products are issued ahead, on tensor cores that work in the order of issue
#include <stdexcept>

#include "kernels/attention/flash_v4_tcgen05.cuh"
#include "kernels/attention_op.hpp"
#include "kernels/blackwell/device.hpp"
#include "kernels/blackwell/entries.hpp"
#include "kernels/hopper/prefill_case.hpp"
#include "model/attention/flash_v4.hpp"

namespace kvroof::kernels {
namespace {

using namespace blackwell;

void run(const flash_v3::Call& call, bool in_order, cudaStream_t stream) {
  if (call.shape.causal)
    return in_order ? forward::launch<true, true>(call, gpu().num_sms, stream)
                    : forward::launch<true, false>(call, gpu().num_sms, stream);
  return in_order ? forward::launch<false, true>(call, gpu().num_sms, stream)
                  : forward::launch<false, false>(call, gpu().num_sms, stream);
}

Case make_flash_v4_tcgen05(const Args& args) {
  require_sm100a("flash_v4_tcgen05");
  const hopper::PrefillData data = hopper::prefill_data(args, Dtype::bf16, Dtype::bf16);
  const flash_v3::Shape& x = data.shape;
  if (x.d_qk != forward::kD || x.d_v != forward::kD)
    throw std::invalid_argument("flash_v4_tcgen05: the head size is 128");
  if (x.b < 1 || x.s_q < 1 || x.s_kv < 1 || x.h_kv < 1 || x.h_q % x.h_kv != 0)
    throw std::invalid_argument("flash_v4_tcgen05: b, s_q, s_kv >= 1, h_q a multiple of h_kv");
  const bool in_order = arg(args, "in_order", 0) != 0;
  const flash_v3::Call call = hopper::prefill_call(data);
  const auto launch = [=](cudaStream_t stream) { run(call, in_order, stream); };
  const attention::Cost cost =
      attention::flash_v4(hopper::model_shape(x), {}, {.num_sms = gpu().num_sms},
                          {.poly_share = forward::kPolyOf16 / 16., .rescale_share = 0.});
  return {.name = "flash_v4_tcgen05 " + hopper::shape_name(x) + (in_order ? " in order" : "") +
                  ", " + kNeverRun + " before",
          .op = attention_op("flash_v4_tcgen05", OpClass::prefill_attention, cost),
          .launch = launch,
          .verify = [=] { return hopper::verify_prefill(data, launch, 5e-3); }};
}

}  // namespace

Entry flash_v4_tcgen05_entry() {
  std::vector<Args> shapes;
  for (const double causal : {0., 1.})
    for (const double in_order : {0., 1.})
      shapes.push_back(
          {{"b", 2}, {"h_q", 16}, {"s_q", 8192}, {"causal", causal}, {"in_order", in_order}});
  return {
      .name = "flash_v4_tcgen05",
      .title = std::string("FlashAttention-4 forward on Blackwell, tcgen05 (") + kNeverRun + ")",
      .shapes = shapes,
      .make = make_flash_v4_tcgen05};
}

}  // namespace kvroof::kernels
