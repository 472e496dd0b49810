#include "kernels/step/decode_step.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <optional>

#include "kernels/data.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/entries.hpp"
#include "kernels/gemm/linear.hpp"
#include "kernels/split_kv.hpp"
#include "kernels/step/network.hpp"
#include "kernels/step/step_oracle.hpp"
#include "model/attention/paged_decode.hpp"
#include "model/elementwise.hpp"
#include "model/time.hpp"

namespace kvroof::kernels {
namespace {

using namespace step;

/// The four products of a layer, the same in every layer, and the last one of all.
struct Products {
  LinearLayer qkv, o, gate_up, down;
  std::optional<LinearLayer> lm_head;
};

RmsNormParams norm_params(const Network& n, const Buffer& x, const Buffer& residual,
                          const Buffer& weight, const Buffer& sum, const Buffer& y) {
  return {x.as<bf16>(), residual.as<bf16>(), weight.as<bf16>(), sum.as<bf16>(), y.as<bf16>(),
          n.b,          n.d_model,           kEpsilon};
}

void residual_norm(const Network& n, const RmsNormParams& p, cudaStream_t stream) {
  if (n.fused) return launch_rms_norm(p, stream);
  launch_residual_add(p, stream);
  RmsNormParams norm = p;
  norm.x = p.sum, norm.residual = nullptr;
  launch_rms_norm(norm, stream);
}

void launch_layer(const Network& n, const Tensors& t, const Products& products, int i, int splits,
                  cudaStream_t stream) {
  const Layer& l = t.layers[static_cast<std::size_t>(i)];
  if (i == 0) launch_rms_norm(norm_params(n, t.x, {}, l.norm1, {}, t.y), stream);
  else residual_norm(n, norm_params(n, t.sums[1], t.down, l.norm1, t.sums[0], t.y), stream);
  products.qkv.launch(t.y.as(), l.qkv.as(), t.qkv.as(), stream);

  const RopeAppendParams rope{t.qkv.as<bf16>(),
                              t.turns.as<float2>(),
                              t.positions.as<int>(),
                              t.slots.as<int>(),
                              t.q.as<bf16>(),
                              t.k_turned.as<bf16>(),
                              l.k_cache.as<bf16>(),
                              l.v_cache.as<bf16>(),
                              n.b,
                              n.h_q,
                              n.h_kv,
                              n.d,
                              kPage};
  n.fused ? launch_rope_append(rope, stream) : launch_rope_append_unfused(rope, stream);

  float* partials = t.partials.as<float>();
  const std::int64_t parts = std::int64_t{n.b} * n.h_q * splits;
  const SplitParams attend{t.q.as<bf16>(),
                           t.attended.as<bf16>(),
                           nullptr,
                           partials,
                           splits > 1 ? partials + parts * n.d : nullptr,
                           n.b,
                           n.h_q,
                           n.h_kv,
                           1,
                           splits,
                           1 / std::sqrt(static_cast<float>(n.d))};
  const PagedCache cache{l.k_cache.as<bf16>(),
                         l.v_cache.as<bf16>(),
                         t.table.as<int>(),
                         t.lengths.as<int>(),
                         n.pages(),
                         std::countr_zero(16u),
                         n.h_kv};
  static_assert(kPage == 16);
  launch_split(attend, cache, n.d, stream);
  products.o.launch(t.attended.as(), l.o.as(), t.projected.as(), stream);
  residual_norm(n, norm_params(n, i == 0 ? t.x : t.sums[0], t.projected, l.norm2, t.sums[1], t.y),
                stream);
  products.gate_up.launch(t.y.as(), l.gate_up.as(), t.gate_up.as(), stream);
  const SwigluParams mlp{t.gate_up.as<bf16>(), t.silu.as<bf16>(), t.act.as<bf16>(), n.b, n.d_ff};
  n.fused ? launch_swiglu(mlp, stream) : launch_swiglu_unfused(mlp, stream);
  products.down.launch(t.act.as(), l.down.as(), t.down.as(), stream);
}

// ---- the model's side --------------------------------------------------------------------------

std::vector<Op> step_ops(const Network& n, const Products& products, int splits) {
  const ElementSize a{2};
  const double b = n.b, d_model = n.d_model, layers = n.layers;
  const double q = 1.0 * n.h_q * n.d, kv = 2.0 * n.h_kv * n.d;
  const double blocks = rms_norm_blocks(n.b, n.d_model);
  std::vector<Op> ops;
  const auto add = [&](std::string_view name, OpClass op_class, const Work& work, double count) {
    ops.push_back({.name = name, .op_class = op_class, .count = count, .work = work});
    ops.back().handed_over = work.read.activations + work.written.activations;
  };
  const elementwise::RopeTable table{.rows = 1, .row = Bytes{4.0 * n.d}, .indices = Bytes{8}};
  Work norm = elementwise::norm(b, d_model, a, false, blocks),
       residual = elementwise::residual_norm(b, d_model, a, false, n.fused, blocks),
       rope = elementwise::rope_append(b, q, kv, Bytes{2 * kv}, a, 0, n.fused, table);
  norm.exps = rms_norm_xu_lanes(n.b, n.d_model, false);
  residual.exps = rms_norm_xu_lanes(n.b, n.d_model, n.fused);
  rope.exps = rope_append_xu_lanes(n.b, n.h_q, n.h_kv, n.d, n.fused);
  add("first_norm", OpClass::elementwise, norm, 1);
  add("qkv_proj", OpClass::gemm, products.qkv.work, layers);
  add("rope_append", OpClass::elementwise, rope, layers);
  const AttentionShape x{.b = b,
                         .s_kv = 1.0 * n.s_kv,
                         .h_q = 1.0 * n.h_q,
                         .h_kv = 1.0 * n.h_kv,
                         .d_qk = 1.0 * n.d,
                         .d_v = 1.0 * n.d};
  const attention::Cost attend = attention::paged_decode(
      x, {}, on_chip(), {.tile = decode_kernel_tile(n.d), .splits = 1.0 * splits});
  add("attention", OpClass::decode_attention, attend.work, layers);
  ops.back().execution = attend.execution;
  add("o_proj", OpClass::gemm, products.o.work, layers);
  add("residual_norm", OpClass::elementwise, residual, 2 * layers);  // the last norm among them
  add("gate_up_proj", OpClass::gemm, products.gate_up.work, layers);
  add("activation", OpClass::elementwise, elementwise::activation(b, n.d_ff, a, true, n.fused),
      layers);
  add("down_proj", OpClass::gemm, products.down.work, layers);
  if (products.lm_head) add("lm_head", OpClass::gemm, products.lm_head->work, 1);
  return ops;
}

/// The op that each kernel of a step belongs to, by its place in step_ops, in launch order.
std::vector<std::size_t> kernel_order(const Network& n, const Products& p,
                                      const std::vector<Op>& ops, int splits) {
  std::vector<std::size_t> order;
  const auto add = [&](std::string_view name, int kernels) {
    const auto op =
        std::find_if(ops.begin(), ops.end(), [&](const Op& x) { return x.name == name; });
    order.insert(order.end(), static_cast<std::size_t>(kernels),
                 static_cast<std::size_t>(op - ops.begin()));
  };
  const int pair = n.fused ? 1 : 2;  // kernels of a chain of two
  for (int i = 0; i < n.layers; ++i) {
    if (i == 0) add("first_norm", 1);
    else add("residual_norm", pair);
    add("qkv_proj", p.qkv.kernels);
    add("rope_append", pair);
    add("attention", splits > 1 ? 2 : 1);
    add("o_proj", p.o.kernels);
    add("residual_norm", pair);
    add("gate_up_proj", p.gate_up.kernels);
    add("activation", pair);
    add("down_proj", p.down.kernels);
  }
  add("residual_norm", pair);
  if (p.lm_head) add("lm_head", p.lm_head->kernels);
  return order;
}

/// What one kernel hands to the next is read from L2: all activations but the first input.
Op whole_step(const std::vector<Op>& ops) {
  Op op{.name = "decode_step", .op_class = OpClass::gemm, .work = total_work(ops)};
  op.handed_over = 2 * op.work.read.activations;
  return op;
}

}  // namespace

DecodeStep decode_step(const Args& args) {
  const Network n = network(args);
  const auto t = std::make_shared<Tensors>(tensors(n));
  const Products products{
      linear_bf16(n.b, n.qkv(), n.d_model), linear_bf16(n.b, n.d_model, n.h_q * n.d),
      linear_bf16(n.b, 2 * n.d_ff, n.d_model), linear_bf16(n.b, n.d_model, n.d_ff),
      n.vocab > 0 ? std::optional(linear_bf16(n.b, n.vocab, n.d_model)) : std::nullopt};
  const AttentionShape x{.b = 1.0 * n.b,
                         .s_kv = 1.0 * n.s_kv,
                         .h_q = 1.0 * n.h_q,
                         .h_kv = 1.0 * n.h_kv,
                         .d_qk = 1.0 * n.d,
                         .d_v = 1.0 * n.d};
  const int splits = choose_splits(x, args, 2);
  if (splits > 1)
    t->partials = Buffer(static_cast<std::size_t>(n.b * n.h_q * splits * (n.d + 1)) * 4);
  fill(n, *t);

  const auto launch = [=](cudaStream_t stream) {
    for (int i = 0; i < n.layers; ++i) launch_layer(n, *t, products, i, splits, stream);
    residual_norm(n, norm_params(n, t->sums[1], t->down, t->last_norm, t->sums[0], t->y), stream);
    if (products.lm_head)
      products.lm_head->launch(t->y.as(), t->lm_head.as(), t->logits.as(), stream);
  };
  const auto verify = [=] {
    fill(n, *t);
    for (const Buffer& b : {t->y, t->sums[0], t->sums[1], t->qkv, t->q, t->attended, t->projected,
                            t->gate_up, t->act, t->down, t->logits})
      poison(b);
    launch(nullptr);
    const std::vector<float> out = to_floats(n.vocab > 0 ? t->logits : t->y, Dtype::bf16);
    return compare(step_oracle(n, *t), out, 1e-2);
  };
  DecodeStep step{.ops = step_ops(n, products, splits)};
  step.order = kernel_order(n, products, step.ops, splits);
  step.step = {.name = "decode_step b" + std::to_string(n.b) + " s1/" + std::to_string(n.s_kv) +
                       " layers" + std::to_string(n.layers) + " d_model" +
                       std::to_string(n.d_model) + (n.fused ? " fused" : " unfused"),
               .op = whole_step(step.ops),
               .launch = launch,
               .verify = verify,
               .kernels_per_launch = static_cast<int>(step.order.size()),
               .stages = step.ops};
  return step;
}

Entry decode_step_entry() {
  std::vector<Args> shapes;
  for (const double b : {1., 16., 64.})
    for (const double s_kv : {1024., 8192.})
      for (const double fused : {1., 0.})
        shapes.push_back({{"b", b}, {"s_kv", s_kv}, {"fused", fused}});
  return {.name = "decode_step",
          .title = "a whole decode step, Llama-3.2-1B's shape by default",
          .shapes = shapes,
          .make = [](const Args& args) { return decode_step(args).step; }};
}

}  // namespace kvroof::kernels
