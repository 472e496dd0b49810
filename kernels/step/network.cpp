#include "kernels/step/network.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <stdexcept>

#include "kernels/data.hpp"

namespace kvroof::kernels::step {
namespace {

Buffer bf16s(std::int64_t elements) { return Buffer(static_cast<std::size_t>(elements) * 2); }

void fill_weights(const Buffer& w, int k) {
  fill_random(w, Dtype::bf16, 1 / std::sqrt(static_cast<float>(k)));
}

}  // namespace

Network network(const Args& args) {
  const auto whole = [&](const char* name, double fallback) {
    return static_cast<int>(arg(args, name, fallback));
  };
  const int s_kv = whole("s_kv", 1024), s_q = whole("s_q", 1);
  if (s_q != 1 && s_q != s_kv)
    throw std::invalid_argument("step: s_q must be 1 (decode) or s_kv (prefill)");
  return {.b = whole("b", 8),
          .s_q = s_q,
          .s_kv = s_kv,
          .layers = whole("layers", 16),
          .d_model = whole("d_model", 2048),
          .h_q = whole("h_q", 32),
          .h_kv = whole("h_kv", 8),
          .d = whole("d", 64),
          .d_ff = whole("d_ff", 8192),
          .vocab = whole("vocab", 0),
          .fused = arg(args, "fused", 1) != 0};
}

Tensors tensors(const Network& n) {
  Tensors t;
  const std::int64_t tokens = n.tokens();
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
  t.last_norm = bf16s(n.d_model), t.x = bf16s(tokens * n.d_model), t.y = bf16s(tokens * n.d_model);
  t.sums[0] = bf16s(tokens * n.d_model), t.sums[1] = bf16s(tokens * n.d_model);
  t.qkv = bf16s(tokens * n.qkv()), t.q = bf16s(tokens * n.h_q * n.d),
  t.k_turned = bf16s(tokens * n.h_kv * n.d);
  t.attended = bf16s(tokens * n.h_q * n.d);
  t.projected = bf16s(tokens * n.d_model), t.gate_up = bf16s(2 * tokens * n.d_ff);
  t.silu = bf16s(tokens * n.d_ff), t.act = bf16s(tokens * n.d_ff),
  t.down = bf16s(tokens * n.d_model);
  t.lm_head = bf16s(std::int64_t{n.vocab} * n.d_model),
  t.logits = bf16s(std::int64_t{n.b} * n.vocab);

  t.host_table.resize(static_cast<std::size_t>(n.b * n.pages()));
  std::iota(t.host_table.begin(), t.host_table.end(), 0);
  std::mt19937_64 random(fresh_seed());
  std::shuffle(t.host_table.begin(), t.host_table.end(), random);
  std::vector<int> positions;
  for (int r = 0; r < n.b; ++r)
    for (int position = n.s_kv - n.s_q; position < n.s_kv; ++position) {
      const int page = t.host_table[static_cast<std::size_t>(r * n.pages() + position / kPage)];
      t.host_slots.push_back(page * kPage + position % kPage);
      positions.push_back(position);
    }
  t.table = to_device(t.host_table), t.slots = to_device(t.host_slots);
  t.lengths = to_device(std::vector<int>(static_cast<std::size_t>(n.b), n.s_kv));
  t.positions = to_device(positions);
  t.ticket = to_device(std::vector<unsigned>(1));
  std::vector<float2> turns(static_cast<std::size_t>(n.s_kv * n.d / 2));
  for (int position = n.s_kv - n.s_q; position < n.s_kv; ++position)
    for (int i = 0; i < n.d / 2; ++i) {
      const double angle = position * std::pow(kTheta, -2.0 * i / n.d);
      turns[static_cast<std::size_t>(position * n.d / 2 + i)] = {
          static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
    }
  t.turns = to_device(turns);
  return t;
}

void fill(const Network& n, const Tensors& t) {
  fill_random(t.x, Dtype::bf16);
  fill_random(t.last_norm, Dtype::bf16);
  if (n.vocab > 0) fill_weights(t.lm_head, n.d_model);
  for (const Layer& l : t.layers) {
    fill_random(l.norm1, Dtype::bf16), fill_random(l.norm2, Dtype::bf16);
    fill_weights(l.qkv, n.d_model), fill_weights(l.o, n.h_q * n.d);
    fill_weights(l.gate_up, n.d_model), fill_weights(l.down, n.d_ff);
    fill_random(l.k_cache, Dtype::bf16), fill_random(l.v_cache, Dtype::bf16);
  }
}

}  // namespace kvroof::kernels::step
