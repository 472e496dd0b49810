#include "kernels/step/step.hpp"

#include <algorithm>
#include <memory>

#include "kernels/data.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/entries.hpp"
#include "kernels/gemm/linear.hpp"
#include "kernels/split_kv.hpp"
#include "kernels/step/attend.hpp"
#include "kernels/step/chain.hpp"
#include "kernels/step/network.hpp"
#include "kernels/step/step_oracle.hpp"
#include "model/elementwise.hpp"
#include "model/time.hpp"

namespace kvroof::kernels {
namespace {

using namespace step;

RmsNormParams norm_params(const Network& n, const Buffer& x, const Buffer& residual,
                          const Buffer& weight, const Buffer& sum, const Buffer& y) {
  return {x.as<bf16>(), residual.as<bf16>(), weight.as<bf16>(), sum.as<bf16>(),
          y.as<bf16>(), n.tokens(),          n.d_model,         kEpsilon};
}

void residual_norm(const Network& n, const RmsNormParams& p, cudaStream_t stream) {
  if (n.fused) return launch_rms_norm(p, stream);
  launch_residual_add(p, stream);
  RmsNormParams norm = p;
  norm.x = p.sum, norm.residual = nullptr;
  launch_rms_norm(norm, stream);
}

void launch_layer(const Network& n, const Tensors& t, const Products& products,
                  const Attend& attend, int i, cudaStream_t stream) {
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
                              n.tokens(),
                              n.h_q,
                              n.h_kv,
                              n.d,
                              kPage};
  rope_fused(n) ? launch_rope_append(rope, stream) : launch_rope_append_unfused(rope, stream);

  attend.launch(t, l, stream);
  products.o.launch(t.attended.as(), l.o.as(), t.projected.as(), stream);
  residual_norm(n, norm_params(n, i == 0 ? t.x : t.sums[0], t.projected, l.norm2, t.sums[1], t.y),
                stream);
  products.gate_up.launch(t.y.as(), l.gate_up.as(), t.gate_up.as(), stream);
  const SwigluParams mlp{t.gate_up.as<bf16>(), t.silu.as<bf16>(), t.act.as<bf16>(), n.tokens(),
                         n.d_ff};
  n.fused ? launch_swiglu(mlp, stream) : launch_swiglu_unfused(mlp, stream);
  products.down.launch(t.act.as(), l.down.as(), t.down.as(), stream);
}

// ---- the model's side --------------------------------------------------------------------------

/// What an op reads from the ops before it and writes for those behind. Prompts attend to K and V
/// that were projected in the same step.
Bytes handed(const Network& n, const Op& op) {
  const bool prompts = n.prefill() && op.op_class == OpClass::prefill_attention;
  return op.work.read.activations + op.work.written.activations +
         (prompts ? op.work.read.kv : Bytes{});
}

/// What kernels hand on is read from L2 as far as L2 still has it.
std::vector<Op> step_ops(const Network& n, const Products& products, const Op& attention) {
  const ElementSize a{2};
  const double tokens = n.tokens(), d_model = n.d_model, layers = n.layers;
  const double q = 1.0 * n.h_q * n.d, kv = 2.0 * n.h_kv * n.d;
  const double blocks = rms_norm_blocks(n.tokens(), n.d_model);
  const std::vector<Link> links = chain(n, products, attention);
  std::vector<Pass> passes;
  for (const Link& link : links) passes.push_back(link.pass);
  const std::vector<Bytes> found = found_in_l2(passes, on_chip());
  std::vector<Op> ops;
  const auto add = [&](std::string_view name, OpClass op_class, const Work& work, double count) {
    ops.push_back({.name = name, .op_class = op_class, .count = count, .work = work});
    ops.back().handed_over = share_in_l2(name, links, found) * handed(n, ops.back());
  };
  const elementwise::RopeTable table{
      .rows = 1.0 * n.s_q, .row = Bytes{4.0 * n.d}, .indices = Bytes{8}};
  Work norm = elementwise::norm(tokens, d_model, a, false, blocks),
       residual = elementwise::residual_norm(tokens, d_model, a, false, n.fused, blocks),
       rope = elementwise::rope_append(tokens, q, kv, Bytes{2 * kv}, a, 0, rope_fused(n), table);
  norm.exps = rms_norm_xu_lanes(n.tokens(), n.d_model, false);
  residual.exps = rms_norm_xu_lanes(n.tokens(), n.d_model, n.fused);
  add("first_norm", OpClass::elementwise, norm, 1);
  add("qkv_proj", OpClass::gemm, products.qkv.work, layers);
  add("rope_append", OpClass::elementwise, rope, layers);
  add("attention", attention.op_class, attention.work, layers);
  ops.back().execution = attention.execution;
  add("o_proj", OpClass::gemm, products.o.work, layers);
  add("residual_norm", OpClass::elementwise, residual, 2 * layers);  // the last norm among them
  add("gate_up_proj", OpClass::gemm, products.gate_up.work, layers);
  add("activation", OpClass::elementwise, elementwise::activation(tokens, n.d_ff, a, true, n.fused),
      layers);
  add("down_proj", OpClass::gemm, products.down.work, layers);
  if (products.lm_head) add("lm_head", OpClass::gemm, products.lm_head->work, 1);
  return ops;
}

/// The op that each kernel of a step belongs to, by its place in step_ops, in launch order.
std::vector<std::size_t> kernel_order(const Network& n, const Products& p,
                                      const std::vector<Op>& ops, const Attend& attend) {
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
    add("rope_append", rope_fused(n) ? 1 : 2);
    add("attention", attend.kernels);
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

/// All ops as one: what kernels hand on is written once, if at all, and read from L2.
Op whole_step(const char* name, const Network& n, const std::vector<Op>& ops) {
  Op op{.name = name, .op_class = OpClass::gemm, .work = total_work(ops)};
  for (const Op& part : ops) {
    const Bytes all = handed(n, part), read = all - part.work.written.activations;
    op.handed_over += 2 * part.count * (part.handed_over / all) * read;
  }
  return op;
}

Products products_of(const Network& n) {
  const int m = n.tokens();
  Products p{.qkv = linear_bf16(m, n.qkv(), n.d_model),
             .o = linear_bf16(m, n.d_model, n.h_q * n.d),
             .gate_up = linear_bf16(m, 2 * n.d_ff, n.d_model),
             .down = linear_bf16(m, n.d_model, n.d_ff),
             .lm_head = {}};
  // The last token of each request.
  if (n.vocab > 0)
    p.lm_head = linear_bf16(n.b, n.vocab, n.d_model, std::int64_t{n.s_q} * n.d_model);
  return p;
}

Step make_step(const char* name, const Args& args) {
  const Network n = network(args);
  const auto t = std::make_shared<Tensors>(tensors(n));
  const Products products = products_of(n);
  const Attend attend = n.prefill() ? prefill_attention(n) : decode_attention(n, args, *t);
  fill(n, *t);

  const auto launch = [=](cudaStream_t stream) {
    for (int i = 0; i < n.layers; ++i) launch_layer(n, *t, products, attend, i, stream);
    residual_norm(n, norm_params(n, t->sums[1], t->down, t->last_norm, t->sums[0], t->y), stream);
    const std::int64_t last_token = std::int64_t{n.s_q - 1} * n.d_model;
    if (products.lm_head)
      products.lm_head->launch(t->y.as<bf16>() + last_token, t->lm_head.as(), t->logits.as(),
                               stream);
  };
  const auto verify = [=] {
    fill(n, *t);
    for (const Buffer& b : {t->y, t->sums[0], t->sums[1], t->qkv, t->q, t->k_turned, t->attended,
                            t->projected, t->gate_up, t->act, t->down, t->logits})
      poison(b);
    launch(nullptr);
    const std::vector<float> out = to_floats(n.vocab > 0 ? t->logits : t->y, Dtype::bf16);
    return compare(step_oracle(n, *t), out, 1e-2);
  };
  Step step{.ops = step_ops(n, products, attend.op), .order = {}, .whole = {}};
  step.order = kernel_order(n, products, step.ops, attend);
  step.whole = {.name = std::string(name) + " b" + std::to_string(n.b) + " s" +
                        std::to_string(n.s_q) + "/" + std::to_string(n.s_kv) + " layers" +
                        std::to_string(n.layers) + " d_model" + std::to_string(n.d_model) +
                        (n.fused ? " fused" : " unfused"),
                .op = whole_step(name, n, step.ops),
                .launch = launch,
                .verify = verify,
                .kernels_per_launch = static_cast<int>(step.order.size()),
                .stages = step.ops};
  return step;
}

}  // namespace

Step decode_step(const Args& args) { return make_step("decode_step", args); }

Step prefill_step(Args args) {
  args["s_q"] = args["s_kv"] = arg(args, "s_kv", 1024);
  return make_step("prefill_step", args);
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
          .make = [](const Args& args) { return decode_step(args).whole; }};
}

Entry prefill_step_entry() {
  std::vector<Args> shapes;
  for (const double tokens : {512., 2048., 8192.})
    for (const double b : {1., 4.})
      for (const double fused : {1., 0.})
        shapes.push_back({{"b", b}, {"s_kv", tokens}, {"fused", fused}});
  return {.name = "prefill_step",
          .title = "whole prompts through all layers, Llama-3.2-1B's shape by default",
          .shapes = shapes,
          .make = [](const Args& args) { return prefill_step(args).whole; }};
}

}  // namespace kvroof::kernels
