#include "kernels/step/step_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/data.hpp"
#include "kernels/reference.hpp"

namespace kvroof::kernels::step {
namespace {

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
  std::vector<std::int64_t> positions;
  for (int i = 0; i < n.tokens(); ++i) positions.push_back(n.s_kv - n.s_q + i % n.s_q);
  const auto turned = [&](int first, int heads) {
    return stored(reference::rope(columns(qkv, n.tokens(), n.qkv(), first * n.d, heads * n.d),
                                  positions, heads, n.d, kTheta));
  };
  std::vector<float> k = to_floats(l.k_cache, Dtype::bf16), v = to_floats(l.v_cache, Dtype::bf16);
  const std::vector<float> new_k = turned(n.h_q, n.h_kv);
  const std::vector<float> new_v =
      columns(qkv, n.tokens(), n.qkv(), (n.h_q + n.h_kv) * n.d, n.h_kv * n.d);
  for (int r = 0; r < n.tokens(); ++r)
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
                            .s_q = n.s_q,
                            .s_kv = n.s_kv,
                            .h_q = n.h_q,
                            .h_kv = n.h_kv,
                            .d_qk = n.d,
                            .d_v = n.d,
                            .scale = 1 / std::sqrt(static_cast<double>(n.d)),
                            .causal = true,
                            .q = q,
                            .k = k,
                            .v = v,
                            .q_rows = reference::token_major(n.s_q, n.h_q, n.d)};
  call.k_rows = {.token_stride = n.d,
                 .head_stride = kPage * n.d,
                 .table = t.host_table,
                 .max_pages = n.pages(),
                 .page_size = kPage,
                 .page_stride = std::int64_t{n.h_kv} * kPage * n.d};
  call.v_rows = call.k_rows;
  return stored(reference::attention(call, call.q_rows, q.size()).out);
}

}  // namespace

std::vector<double> step_oracle(const Network& n, const Tensors& t) {
  std::vector<float> x = to_floats(t.x, Dtype::bf16), down;
  const auto norm = [&](const Buffer& weight) {
    return reference::rms_norm(x, to_floats(weight, Dtype::bf16), kEpsilon);
  };
  for (const Layer& l : t.layers) {
    if (!down.empty()) x = added(x, down);
    const auto qkv = product(stored(norm(l.norm1)), l.qkv, n.tokens(), n.qkv(), n.d_model);
    x = added(x, product(attended(n, t, l, qkv), l.o, n.tokens(), n.d_model, n.h_q * n.d));
    const auto both = product(stored(norm(l.norm2)), l.gate_up, n.tokens(), 2 * n.d_ff, n.d_model);
    const auto act =
        stored(reference::swiglu(columns(both, n.tokens(), 2 * n.d_ff, 0, n.d_ff),
                                 columns(both, n.tokens(), 2 * n.d_ff, n.d_ff, n.d_ff)));
    down = product(act, l.down, n.tokens(), n.d_model, n.d_ff);
  }
  x = added(x, down);
  if (n.vocab == 0) return norm(t.last_norm);
  const std::vector<float> y = stored(norm(t.last_norm));
  const std::vector<float> last =
      columns(y, n.b, n.s_q * n.d_model, (n.s_q - 1) * n.d_model, n.d_model);
  return reference::gemm(last, to_floats(t.lm_head, Dtype::bf16), n.b, n.vocab, n.d_model);
}

}  // namespace kvroof::kernels::step
