#include "kernels/step/attend.hpp"

#include <bit>
#include <cmath>

#include "kernels/attention/flash_v3.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/flash_prefill.hpp"
#include "kernels/hopper/prefill_case.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/flash_v2.hpp"
#include "model/attention/paged_decode.hpp"

namespace kvroof::kernels::step {
namespace {

AttentionShape shape_of(const Network& n) {
  return {.b = 1.0 * n.b,
          .s_q = 1.0 * n.s_q,
          .s_kv = 1.0 * n.s_kv,
          .h_q = 1.0 * n.h_q,
          .h_kv = 1.0 * n.h_kv,
          .d_qk = 1.0 * n.d,
          .d_v = 1.0 * n.d};
}

float scale_of(const Network& n) { return 1 / std::sqrt(static_cast<float>(n.d)); }

/// Where a tensor of `heads` heads lies whose rows are `row` elements of all heads of a token.
Strides token_major(const Network& n, std::int64_t row) {
  return {.request = n.s_q * row, .head = n.d, .token = row};
}

const bf16* values(const Network& n, const Tensors& t) {
  return t.qkv.as<bf16>() + std::int64_t{n.h_q + n.h_kv} * n.d;
}

Attend with_flash_v3(const Network& n) {
  const flash_v3::Shape x{.b = n.b,
                          .h_q = n.h_q,
                          .h_kv = n.h_kv,
                          .s_q = n.s_q,
                          .s_kv = n.s_kv,
                          .d_qk = n.d,
                          .d_v = n.d,
                          .causal = true};
  const auto tensor = [n](const void* data, std::int64_t row) {
    const Strides s = token_major(n, row);
    return flash_v3::Tensor{const_cast<void*>(data), s.request, s.head, s.token};
  };
  const auto launch = [=](const Tensors& t, const Layer&, cudaStream_t stream) {
    const std::int64_t q_row = std::int64_t{n.h_q} * n.d, kv_row = std::int64_t{n.h_kv} * n.d;
    flash_v3::run({.shape = x,
                   .scale = scale_of(n),
                   .q = tensor(t.q.as(), q_row),
                   .k = tensor(t.k_turned.as(), kv_row),
                   .v = tensor(values(n, t), n.qkv()),
                   .o = tensor(t.attended.as(), q_row),
                   .ticket = t.ticket.as<unsigned>()},
                  stream);
  };
  const attention::Cost cost = hopper::flash_v3_cost(x, flash_v3::Call{}.l2_share);
  return {attention_op("attention", OpClass::prefill_attention, cost), 1, launch};
}

Attend with_flash_v2(const Network& n) {
  const auto launch = [=](const Tensors& t, const Layer&, cudaStream_t stream) {
    const std::int64_t q_row = std::int64_t{n.h_q} * n.d, kv_row = std::int64_t{n.h_kv} * n.d;
    FlashParams p{.q = t.q.as(),
                  .k = t.k_turned.as(),
                  .v = values(n, t),
                  .o = t.attended.as(),
                  .lse = nullptr,
                  .q_strides = token_major(n, q_row),
                  .k_strides = token_major(n, kv_row),
                  .v_strides = token_major(n, n.qkv()),
                  .o_strides = token_major(n, q_row),
                  .b = n.b,
                  .h_q = n.h_q,
                  .h_kv = n.h_kv,
                  .s_q = n.s_q,
                  .d = n.d,
                  .band = {.s_kv = n.s_kv},
                  .scale = scale_of(n)};
    p.band.diagonal = n.s_kv - n.s_q;
    launch_flash_v2(p, stream);
  };
  const attention::Cost cost =
      attention::flash_v2(shape_of(n), {}, on_chip(), {.tile = flash_v2_kernel_tile(n.d)});
  return {attention_op("attention", OpClass::prefill_attention, cost), 1, launch};
}

}  // namespace

Attend decode_attention(const Network& n, const Args& args, Tensors& t) {
  const int splits = choose_splits(shape_of(n), args, 2);
  const std::int64_t parts = std::int64_t{n.b} * n.h_q * splits;
  if (splits > 1) t.partials = Buffer(static_cast<std::size_t>(parts * (n.d + 1)) * 4);
  const auto launch = [=](const Tensors& on, const Layer& l, cudaStream_t stream) {
    float* partials = on.partials.as<float>();
    const SplitParams attend{.q = on.q.as<bf16>(),
                             .o = on.attended.as<bf16>(),
                             .lse = nullptr,
                             .part_o = partials,
                             .part_lse2 = splits > 1 ? partials + parts * n.d : nullptr,
                             .b = n.b,
                             .h_q = n.h_q,
                             .h_kv = n.h_kv,
                             .s_q = 1,
                             .splits = splits,
                             .scale = scale_of(n)};
    const PagedCache cache{.k = l.k_cache.as<bf16>(),
                           .v = l.v_cache.as<bf16>(),
                           .table = on.table.as<int>(),
                           .lengths = on.lengths.as<int>(),
                           .max_pages = n.pages(),
                           .page_shift = std::countr_zero(unsigned{kPage}),
                           .h_kv = n.h_kv};
    launch_split(attend, cache, n.d, stream);
  };
  const attention::Cost cost = attention::paged_decode(
      shape_of(n), {}, on_chip(), {.tile = decode_kernel_tile(n.d), .splits = 1.0 * splits});
  return {attention_op("attention", OpClass::decode_attention, cost), splits > 1 ? 2 : 1, launch};
}

Attend prefill_attention(const Network& n) {
  try {
    require_sm90a("flash_v3");
  } catch (const NotOnThisGpu&) {
    return with_flash_v2(n);
  }
  return with_flash_v3(n);
}

}  // namespace kvroof::kernels::step
