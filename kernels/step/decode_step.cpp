#include "kernels/step/decode_step.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>

#include "kernels/data.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/entries.hpp"
#include "kernels/gemm/linear.hpp"
#include "kernels/reference.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/paged_decode.hpp"
#include "model/elementwise.hpp"
#include "model/time.hpp"

namespace kvroof::kernels {
namespace {

using bf16 = __nv_bfloat16;
constexpr int kPage = 16;
constexpr float kEpsilon = 1e-5f;
constexpr double kTheta = 5e5;  // Llama 3

struct Network {
  int b, s_kv, layers, d_model, h_q, h_kv, d, d_ff;
  bool fused;
  int qkv() const { return (h_q + 2 * h_kv) * d; }
  int pages() const { return (s_kv + kPage - 1) / kPage; }  // per request
  std::size_t cache_elements() const {
    return static_cast<std::size_t>(b) * static_cast<std::size_t>(pages() * h_kv * kPage * d);
  }
};

Network network(const Args& args) {
  const auto whole = [&](const char* name, double fallback) {
    return static_cast<int>(arg(args, name, fallback));
  };
  return {whole("b", 8),          whole("s_kv", 1024), whole("layers", 16),
          whole("d_model", 2048), whole("h_q", 32),    whole("h_kv", 8),
          whole("d", 64),         whole("d_ff", 8192), arg(args, "fused", 1) != 0};
}

Buffer bf16s(std::int64_t elements) { return Buffer(static_cast<std::size_t>(elements) * 2); }

struct Layer {
  Buffer norm1, norm2, qkv, o, gate_up, down, k_cache, v_cache;
};

/// Weights, caches and activations of a step on the device; `sums` take turns as residual stream.
struct Tensors {
  std::vector<Layer> layers;
  Buffer last_norm, x, sums[2], y, qkv, q, k_turned, attended, projected, gate_up, silu, act, down;
  Buffer table, lengths, positions, slots, turns, partials;
  std::vector<int> host_table, host_slots;
};

void fill_weights(const Buffer& w, int k) {
  fill_random(w, Dtype::bf16, 1 / std::sqrt(static_cast<float>(k)));
}

Tensors tensors(const Network& n) {
  Tensors t;
  const std::int64_t b = n.b;
  for (int i = 0; i < n.layers; ++i) {
    Layer& l = t.layers.emplace_back();
    l.norm1 = bf16s(n.d_model), l.norm2 = bf16s(n.d_model);
    l.qkv = bf16s(std::int64_t{n.qkv()} * n.d_model);
    l.o = bf16s(std::int64_t{n.d_model} * n.h_q * n.d);
    l.gate_up = bf16s(std::int64_t{2} * n.d_ff * n.d_model);
    l.down = bf16s(std::int64_t{n.d_model} * n.d_ff);
    l.k_cache = bf16s(static_cast<std::int64_t>(n.cache_elements()));
    l.v_cache = Buffer(l.k_cache.bytes());
  }
  t.last_norm = bf16s(n.d_model), t.x = bf16s(b * n.d_model), t.y = bf16s(b * n.d_model);
  t.sums[0] = bf16s(b * n.d_model), t.sums[1] = bf16s(b * n.d_model);
  t.qkv = bf16s(b * n.qkv()), t.q = bf16s(b * n.h_q * n.d), t.k_turned = bf16s(b * n.h_kv * n.d);
  t.attended = bf16s(b * n.h_q * n.d);
  t.projected = bf16s(b * n.d_model), t.gate_up = bf16s(2 * b * n.d_ff);
  t.silu = bf16s(b * n.d_ff), t.act = bf16s(b * n.d_ff), t.down = bf16s(b * n.d_model);

  t.host_table.resize(static_cast<std::size_t>(n.b * n.pages()));
  std::iota(t.host_table.begin(), t.host_table.end(), 0);
  std::mt19937_64 random(fresh_seed());
  std::shuffle(t.host_table.begin(), t.host_table.end(), random);
  const int last = n.s_kv - 1;  // the new token's position
  for (int r = 0; r < n.b; ++r)
    t.host_slots.push_back(t.host_table[static_cast<std::size_t>(r * n.pages() + last / kPage)] *
                               kPage +
                           last % kPage);
  t.table = to_device(t.host_table), t.slots = to_device(t.host_slots);
  t.lengths = to_device(std::vector<int>(static_cast<std::size_t>(n.b), n.s_kv));
  t.positions = to_device(std::vector<int>(static_cast<std::size_t>(n.b), last));
  std::vector<float2> turns(static_cast<std::size_t>(n.s_kv * n.d / 2));
  for (int i = 0; i < n.d / 2; ++i) {
    const double angle = last * std::pow(kTheta, -2.0 * i / n.d);
    turns[static_cast<std::size_t>(last * n.d / 2 + i)] = {static_cast<float>(std::cos(angle)),
                                                           static_cast<float>(std::sin(angle))};
  }
  t.turns = to_device(turns);
  return t;
}

void fill(const Network& n, const Tensors& t) {
  fill_random(t.x, Dtype::bf16);
  fill_random(t.last_norm, Dtype::bf16);
  for (const Layer& l : t.layers) {
    fill_random(l.norm1, Dtype::bf16), fill_random(l.norm2, Dtype::bf16);
    fill_weights(l.qkv, n.d_model), fill_weights(l.o, n.h_q * n.d);
    fill_weights(l.gate_up, n.d_model), fill_weights(l.down, n.d_ff);
    fill_random(l.k_cache, Dtype::bf16), fill_random(l.v_cache, Dtype::bf16);
  }
}

/// The four products of a layer; every layer has the same shapes.
struct Products {
  LinearLayer qkv, o, gate_up, down;
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
                         n.h_kv,
                         n.s_kv};
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

// ---- the oracle: the same stages in double, rounded where the kernels store bf16 ---------------

std::vector<float> stored(const std::vector<double>& x) {
  std::vector<float> out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = __bfloat162float(__double2bfloat16(x[i]));
  return out;
}

std::vector<float> product(const std::vector<float>& x, const Buffer& w, int m, int n, int k) {
  return stored(reference::gemm(x, to_floats(w, Dtype::bf16), m, n, k));
}

std::vector<float> added(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<double> sum(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) sum[i] = double{a[i]} + b[i];
  return stored(sum);
}

std::vector<float> columns(const std::vector<float>& x, int rows, int width, int first, int count) {
  std::vector<float> out;
  for (int r = 0; r < rows; ++r) {
    const auto from = x.begin() + std::int64_t{r} * width + first;
    out.insert(out.end(), from, from + count);
  }
  return out;
}

std::vector<float> attended(const Network& n, const Tensors& t, const Layer& l,
                            const std::vector<float>& qkv) {
  const std::vector<std::int64_t> positions(static_cast<std::size_t>(n.b), n.s_kv - 1);
  const auto turned = [&](int first, int heads) {
    return stored(reference::rope(columns(qkv, n.b, n.qkv(), first * n.d, heads * n.d), positions,
                                  heads, n.d, kTheta));
  };
  std::vector<float> k = to_floats(l.k_cache, Dtype::bf16), v = to_floats(l.v_cache, Dtype::bf16);
  const std::vector<float> new_k = turned(n.h_q, n.h_kv);
  const std::vector<float> new_v = columns(qkv, n.b, n.qkv(), (n.h_q + n.h_kv) * n.d, n.h_kv * n.d);
  for (int r = 0; r < n.b; ++r)
    for (int h = 0; h < n.h_kv; ++h) {
      const int slot = t.host_slots[static_cast<std::size_t>(r)];
      const std::int64_t at =
          ((std::int64_t{slot / kPage} * n.h_kv + h) * kPage + slot % kPage) * n.d;
      const std::int64_t from = (std::int64_t{r} * n.h_kv + h) * n.d;
      std::copy_n(new_k.begin() + from, n.d, k.begin() + at);
      std::copy_n(new_v.begin() + from, n.d, v.begin() + at);
    }
  const std::vector<float> q = turned(0, n.h_q);
  reference::Attention call{.b = n.b,
                            .s_kv = n.s_kv,
                            .h_q = n.h_q,
                            .h_kv = n.h_kv,
                            .d_qk = n.d,
                            .d_v = n.d,
                            .scale = 1 / std::sqrt(static_cast<double>(n.d)),
                            .q = q,
                            .k = k,
                            .v = v,
                            .q_rows = reference::token_major(1, n.h_q, n.d)};
  call.k_rows = {.token_stride = n.d,
                 .head_stride = kPage * n.d,
                 .table = t.host_table,
                 .max_pages = n.pages(),
                 .page_size = kPage,
                 .page_stride = std::int64_t{n.h_kv} * kPage * n.d};
  call.v_rows = call.k_rows;
  return stored(reference::attention(call, call.q_rows, q.size()).out);
}

std::vector<double> step_oracle(const Network& n, const Tensors& t) {
  std::vector<float> x = to_floats(t.x, Dtype::bf16), down;
  const auto norm = [&](const Buffer& weight) {
    return reference::rms_norm(x, to_floats(weight, Dtype::bf16), kEpsilon);
  };
  for (const Layer& l : t.layers) {
    if (!down.empty()) x = added(x, down);
    const auto qkv = product(stored(norm(l.norm1)), l.qkv, n.b, n.qkv(), n.d_model);
    x = added(x, product(attended(n, t, l, qkv), l.o, n.b, n.d_model, n.h_q * n.d));
    const auto both = product(stored(norm(l.norm2)), l.gate_up, n.b, 2 * n.d_ff, n.d_model);
    const auto act = stored(reference::swiglu(columns(both, n.b, 2 * n.d_ff, 0, n.d_ff),
                                              columns(both, n.b, 2 * n.d_ff, n.d_ff, n.d_ff)));
    down = product(act, l.down, n.b, n.d_model, n.d_ff);
  }
  x = added(x, down);
  return norm(t.last_norm);
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
  const Work residual = elementwise::residual_norm(b, d_model, a, false, n.fused, blocks);
  add("first_norm", OpClass::elementwise, elementwise::norm(b, d_model, a, false, blocks), 1);
  add("qkv_proj", OpClass::gemm, products.qkv.work, layers);
  add("rope_append", OpClass::elementwise,
      elementwise::rope_append(b, q, kv, Bytes{2 * kv}, a, 0, n.fused, table), layers);
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
  return ops;
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
      linear_bf16(n.b, 2 * n.d_ff, n.d_model), linear_bf16(n.b, n.d_model, n.d_ff)};
  const AttentionShape x{.b = 1.0 * n.b,
                         .s_kv = 1.0 * n.s_kv,
                         .h_q = 1.0 * n.h_q,
                         .h_kv = 1.0 * n.h_kv,
                         .d_qk = 1.0 * n.d,
                         .d_v = 1.0 * n.d};
  const int splits = choose_splits(x, args);
  if (splits > 1)
    t->partials = Buffer(static_cast<std::size_t>(n.b * n.h_q * splits * (n.d + 1)) * 4);
  fill(n, *t);

  const auto launch = [=](cudaStream_t stream) {
    for (int i = 0; i < n.layers; ++i) launch_layer(n, *t, products, i, splits, stream);
    residual_norm(n, norm_params(n, t->sums[1], t->down, t->last_norm, t->sums[0], t->y), stream);
  };
  const auto verify = [=] {
    fill(n, *t);
    for (const Buffer& b : {t->y, t->sums[0], t->sums[1], t->qkv, t->q, t->attended, t->projected,
                            t->gate_up, t->act, t->down})
      poison(b);
    launch(nullptr);
    const std::vector<float> out = to_floats(t->y, Dtype::bf16);
    return compare(step_oracle(n, *t), out, 1e-2);
  };
  DecodeStep step{.ops = step_ops(n, products, splits)};
  const int products_kernels =
      products.qkv.kernels + products.o.kernels + products.gate_up.kernels + products.down.kernels;
  const int pair = n.fused ? 1 : 2;  // kernels of a chain of two
  step.step = {
      .name = "decode_step b" + std::to_string(n.b) + " s1/" + std::to_string(n.s_kv) + " layers" +
              std::to_string(n.layers) + " d_model" + std::to_string(n.d_model) +
              (n.fused ? " fused" : " unfused"),
      .op = whole_step(step.ops),
      .launch = launch,
      .verify = verify,
      .kernels_per_launch =
          n.layers * (products_kernels + 2 * pair + (splits > 1 ? 2 : 1)) + 2 * n.layers * pair + 1,
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
