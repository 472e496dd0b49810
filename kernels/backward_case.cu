#include "kernels/backward_case.hpp"

#include <cuda_bf16.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/check.hpp"
#include "kernels/flash_prefill.hpp"

namespace kvroof::kernels {
namespace {

/// Numbers r·h_kv + head of the K/V heads to check: as many as fit in some 2e9 products, at random.
std::vector<std::int64_t> heads_to_check(const reference::Attention& c) {
  std::vector<std::int64_t> heads(static_cast<std::size_t>(c.b * c.h_kv));
  std::iota(heads.begin(), heads.end(), 0);
  std::mt19937_64 random(fresh_seed());
  std::shuffle(heads.begin(), heads.end(), random);
  const double each = static_cast<double>(c.h_q / c.h_kv * c.s_q * c.s_kv) *
                      static_cast<double>(3 * c.d_qk + 2 * c.d_v);
  const auto count = static_cast<std::size_t>(std::max(1.0, 2e9 / each));
  heads.resize(std::min(heads.size(), count));
  return heads;
}

std::vector<float> slice(const std::vector<float>& x, std::int64_t index, std::int64_t size) {
  return {x.begin() + index * size, x.begin() + (index + 1) * size};
}

/// Rows [first, first + rows) of P.
std::vector<float> rows_of(const KeptScores& kept, std::int64_t first, std::int64_t rows) {
  std::vector<__nv_bfloat16> raw(static_cast<std::size_t>(rows * kept.pitch));
  CUDA_CHECK(cudaMemcpy(raw.data(), kept.p.as<__nv_bfloat16>() + first * kept.pitch,
                        raw.size() * sizeof raw[0], cudaMemcpyDeviceToHost));
  std::vector<float> values(raw.size());
  std::transform(raw.begin(), raw.end(), values.begin(),
                 [](__nv_bfloat16 x) { return __bfloat162float(x); });
  return values;
}

}  // namespace

BackwardData backward_data(const AttentionShape& x, const Args& args) {
  const AttentionData forward = head_major_data(x, args);
  return {.forward = forward,
          .d_o = Buffer(forward.o.bytes()),
          .dq = Buffer(forward.q.bytes()),
          .dk = Buffer(forward.k.bytes()),
          .dv = Buffer(forward.v.bytes())};
}

void refill(const BackwardData& data) {
  refill(data.forward);
  fill_random(data.d_o, data.forward.dtype);
  launch_flash_v2(flash_params(data.forward), nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());
}

Verdict verify_backward(const BackwardData& data, const std::function<void(cudaStream_t)>& launch,
                        const std::function<void()>& after_refill, double tolerance,
                        const KeptScores& kept) {
  refill(data);
  if (after_refill) after_refill();
  poison(data.dq), poison(data.dk), poison(data.dv);
  launch(nullptr);
  const auto values = [&](const Buffer& b) { return to_floats(b, data.forward.dtype); };
  const std::vector<float> q = values(data.forward.q), k = values(data.forward.k),
                           v = values(data.forward.v), o = values(data.forward.o),
                           d_o = values(data.d_o);
  const std::vector<float> dq = values(data.dq), dk = values(data.dk), dv = values(data.dv);

  // The heads of a group and their K/V head are blocks of the head-major tensors.
  const reference::Attention& c = data.forward.call;
  const std::int64_t group = c.h_q / c.h_kv, rows = group * c.s_q;
  Verdict worst{.ok = true, .tolerance = tolerance};
  for (const std::int64_t head : heads_to_check(c)) {
    reference::Attention one = c;
    one.b = 1, one.h_kv = 1, one.h_q = group;
    const std::vector<float> q1 = slice(q, head, rows * c.d_qk),
                             k1 = slice(k, head, c.s_kv * c.d_qk),
                             v1 = slice(v, head, c.s_kv * c.d_v),
                             d_o1 = slice(d_o, head, rows * c.d_v);
    const bool given_p = kept.pitch > 0;
    std::vector<float> p1, o1;
    if (given_p) p1 = rows_of(kept, head * rows, rows);
    else o1 = slice(o, head, rows * c.d_v);
    one.q = q1, one.k = k1, one.v = v1;
    one.q_rows = reference::head_major(c.s_q, group, c.d_qk);
    one.k_rows = reference::head_major(c.s_kv, 1, c.d_qk);
    one.v_rows = reference::head_major(c.s_kv, 1, c.d_v);
    const reference::AttentionGradient g = reference::attention_backward(
        one, d_o1, reference::head_major(c.s_q, group, c.d_v), {p1, kept.pitch, o1});
    for (const auto& [name, expected, got] :
         {std::tuple{"dq", &g.dq, slice(dq, head, rows * c.d_qk)},
          std::tuple{"dk", &g.dk, slice(dk, head, c.s_kv * c.d_qk)},
          std::tuple{"dv", &g.dv, slice(dv, head, c.s_kv * c.d_v)}}) {
      Verdict verdict = compare(*expected, got, tolerance);
      if (!verdict.ok) {
        verdict.detail = std::string(name) + " " + verdict.detail;
        return verdict;
      }
      worst.relative_error = std::max(worst.relative_error, verdict.relative_error);
    }
  }
  return worst;
}

}  // namespace kvroof::kernels
