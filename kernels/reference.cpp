#include "kernels/reference.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

namespace kvroof::reference {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

double dot(const float* a, const float* b, std::int64_t n) {
  double sum[4] = {};  // four chains, so that the compiler may use vectors
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int c = 0; c < 4; ++c) sum[c] += static_cast<double>(a[i + c]) * b[i + c];
  for (; i < n; ++i) sum[0] += static_cast<double>(a[i]) * b[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/// Probabilities of one query row; hidden keys have 0.
struct Probabilities {
  std::vector<double> p;
  double lse = kMinusInfinity;
};

Probabilities probabilities(const Attention& x, std::int64_t r, std::int64_t t, std::int64_t head) {
  const std::int64_t keys = x.keys(r), kv_head = head / (x.h_q / x.h_kv);
  const float* q = x.q.data() + x.q_rows.row(r, t, head);
  std::vector<double> s(static_cast<std::size_t>(keys), kMinusInfinity);
  for (std::int64_t j = 0; j < keys; ++j) {
    if (!x.visible(r, t, j)) continue;
    double score = x.scale * dot(q, x.k.data() + x.k_rows.row(r, j, kv_head), x.d_qk);
    if (x.softcap > 0) score = x.softcap * std::tanh(score / x.softcap);
    s[static_cast<std::size_t>(j)] = score;
  }
  const bool sink = !x.sink_logit.empty();
  double top = sink ? x.sink_logit[static_cast<std::size_t>(head)] : kMinusInfinity;
  for (const double score : s) top = std::max(top, score);
  if (top == kMinusInfinity) return {std::vector<double>(s.size(), 0.0)};

  double sum = sink ? std::exp(x.sink_logit[static_cast<std::size_t>(head)] - top) : 0;
  for (double& score : s) sum += score = std::exp(score - top);
  for (double& p : s) p /= sum;
  return {std::move(s), top + std::log(sum)};
}

std::vector<double> kept_row(const Kept& kept, std::int64_t row, std::int64_t keys) {
  const auto first = kept.p.begin() + row * kept.pitch;
  return {first, first + keys};
}

}  // namespace

void parallel_for(std::int64_t n, const std::function<void(std::int64_t)>& f) {
  const auto cores = static_cast<std::int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  std::atomic<std::int64_t> next = 0;
  const auto work = [&] {
    for (std::int64_t i = next++; i < n; i = next++) f(i);
  };
  std::vector<std::jthread> others;
  for (std::int64_t c = 1; c < std::min(cores, n); ++c) others.emplace_back(work);
  work();
}

std::int64_t Rows::row(std::int64_t request, std::int64_t token, std::int64_t head) const {
  if (page_size > 0) {
    const std::int64_t page =
        table[static_cast<std::size_t>(request * max_pages + token / page_size)];
    return page * page_stride + token % page_size * token_stride + head * head_stride;
  }
  const std::int64_t base = first_token.empty()
                                ? request * request_stride
                                : first_token[static_cast<std::size_t>(request)] * token_stride;
  return base + token * token_stride + head * head_stride;
}

Rows token_major(std::int64_t s, std::int64_t h, std::int64_t d) {
  return {.request_stride = s * h * d, .token_stride = h * d, .head_stride = d};
}
Rows head_major(std::int64_t s, std::int64_t h, std::int64_t d) {
  return {.request_stride = s * h * d, .token_stride = d, .head_stride = s * d};
}

std::int64_t Attention::queries(std::int64_t request) const {
  return q_lengths.empty() ? s_q : q_lengths[static_cast<std::size_t>(request)];
}
std::int64_t Attention::keys(std::int64_t request) const {
  return kv_lengths.empty() ? s_kv : kv_lengths[static_cast<std::size_t>(request)];
}

bool Attention::visible(std::int64_t request, std::int64_t t, std::int64_t j) const {
  const std::int64_t new_tokens = queries(request), cached = keys(request) - new_tokens;
  const std::int64_t position = t + cached;
  if (causal && j > position) return false;
  if (window > 0 && position - j >= window && j >= sinks) return false;
  if (!tree.empty() && j >= cached &&
      tree[static_cast<std::size_t>(t * new_tokens + j - cached)] == 0)
    return false;
  if (!block_mask.empty()) {
    const std::int64_t columns = (keys(request) + block_k - 1) / block_k;
    if (block_mask[static_cast<std::size_t>(t / block_q * columns + j / block_k)] == 0)
      return false;
  }
  return true;
}

AttentionRow attention_row(const Attention& x, std::int64_t r, std::int64_t t, std::int64_t head) {
  const Probabilities p = probabilities(x, r, t, head);
  AttentionRow row{std::vector<double>(static_cast<std::size_t>(x.d_v), 0.0), p.lse};
  const std::int64_t kv_head = head / (x.h_q / x.h_kv);
  for (std::int64_t j = 0; j < x.keys(r); ++j) {
    const double weight = p.p[static_cast<std::size_t>(j)];
    if (weight == 0) continue;
    const float* v = x.v.data() + x.v_rows.row(r, j, kv_head);
    for (std::int64_t c = 0; c < x.d_v; ++c) row.out[static_cast<std::size_t>(c)] += weight * v[c];
  }
  return row;
}

AttentionResult attention(const Attention& x, const Rows& out_rows, std::size_t out_elements) {
  AttentionResult result{
      std::vector<double>(out_elements, 0.0),
      std::vector<double>(static_cast<std::size_t>(x.b * x.h_q * x.s_q), kMinusInfinity)};
  parallel_for(x.b * x.h_q * x.s_q, [&](std::int64_t i) {
    const std::int64_t t = i % x.s_q, head = i / x.s_q % x.h_q, r = i / x.s_q / x.h_q;
    if (t >= x.queries(r)) return;
    const AttentionRow row = attention_row(x, r, t, head);
    std::copy(row.out.begin(), row.out.end(), result.out.begin() + out_rows.row(r, t, head));
    result.lse[static_cast<std::size_t>(i)] = row.lse;
  });
  return result;
}

AttentionGradient attention_backward(const Attention& x, std::span<const float> d_out,
                                     const Rows& do_rows, const Kept& kept) {
  AttentionGradient g{std::vector<double>(x.q.size(), 0.0), std::vector<double>(x.k.size(), 0.0),
                      std::vector<double>(x.v.size(), 0.0)};
  const std::int64_t group = x.h_q / x.h_kv;
  // One task per request and KV head: no two tasks add to the same element.
  parallel_for(x.b * x.h_kv, [&](std::int64_t i) {
    const std::int64_t r = i / x.h_kv, kv_head = i % x.h_kv, keys = x.keys(r);
    std::vector<double> dp(static_cast<std::size_t>(keys));
    for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (std::int64_t t = 0; t < x.queries(r); ++t) {
        const std::vector<double> p = kept.p.empty()
                                          ? probabilities(x, r, t, head).p
                                          : kept_row(kept, (r * x.h_q + head) * x.s_q + t, keys);
        const float* d_o = d_out.data() + do_rows.row(r, t, head);
        double delta =
            kept.o.empty() ? 0 : dot(d_o, kept.o.data() + do_rows.row(r, t, head), x.d_v);
        for (std::int64_t j = 0; j < keys; ++j) {
          const auto js = static_cast<std::size_t>(j);
          dp[js] = dot(d_o, x.v.data() + x.v_rows.row(r, j, kv_head), x.d_v);
          if (kept.o.empty()) delta += p[js] * dp[js];
        }
        const std::int64_t q_row = x.q_rows.row(r, t, head);
        for (std::int64_t j = 0; j < keys; ++j) {
          const auto js = static_cast<std::size_t>(j);
          if (p[js] == 0) continue;
          const double ds = x.scale * p[js] * (dp[js] - delta);
          const std::int64_t k_row = x.k_rows.row(r, j, kv_head),
                             v_row = x.v_rows.row(r, j, kv_head);
          for (std::int64_t c = 0; c < x.d_qk; ++c) {
            g.dq[static_cast<std::size_t>(q_row + c)] +=
                ds * x.k[static_cast<std::size_t>(k_row + c)];
            g.dk[static_cast<std::size_t>(k_row + c)] +=
                ds * x.q[static_cast<std::size_t>(q_row + c)];
          }
          for (std::int64_t c = 0; c < x.d_v; ++c)
            g.dv[static_cast<std::size_t>(v_row + c)] += p[js] * d_o[c];
        }
      }
    }
  });
  return g;
}

std::vector<double> softmax(std::span<const float> x, std::int64_t columns) {
  std::vector<double> out(x.size());
  parallel_for(static_cast<std::int64_t>(x.size()) / columns, [&](std::int64_t row) {
    const float* in = x.data() + row * columns;
    double* o = out.data() + row * columns;
    const double top = *std::max_element(in, in + columns);
    double sum = 0;
    for (std::int64_t c = 0; c < columns; ++c) sum += o[c] = std::exp(in[c] - top);
    for (std::int64_t c = 0; c < columns; ++c) o[c] /= sum;
  });
  return out;
}

std::vector<double> rms_norm(std::span<const float> x, std::span<const float> weight,
                             double epsilon) {
  const auto columns = static_cast<std::int64_t>(weight.size());
  std::vector<double> out(x.size());
  parallel_for(static_cast<std::int64_t>(x.size()) / columns, [&](std::int64_t row) {
    const float* in = x.data() + row * columns;
    const double mean_square = dot(in, in, columns) / static_cast<double>(columns);
    const double inverse = 1 / std::sqrt(mean_square + epsilon);
    for (std::int64_t c = 0; c < columns; ++c)
      out[static_cast<std::size_t>(row * columns + c)] =
          in[c] * inverse * weight[static_cast<std::size_t>(c)];
  });
  return out;
}

std::vector<double> rope(std::span<const float> x, std::span<const std::int64_t> positions,
                         std::int64_t heads, std::int64_t d, double theta, bool interleaved) {
  std::vector<double> out(x.size());
  parallel_for(static_cast<std::int64_t>(positions.size()) * heads, [&](std::int64_t row) {
    const auto position = static_cast<double>(positions[static_cast<std::size_t>(row / heads)]);
    const float* in = x.data() + row * d;
    double* o = out.data() + row * d;
    for (std::int64_t i = 0; i < d / 2; ++i) {
      const std::int64_t first = interleaved ? 2 * i : i,
                         second = interleaved ? 2 * i + 1 : i + d / 2;
      const double angle =
          position * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(d));
      o[first] = in[first] * std::cos(angle) - in[second] * std::sin(angle);
      o[second] = in[second] * std::cos(angle) + in[first] * std::sin(angle);
    }
  });
  return out;
}

std::vector<double> swiglu(std::span<const float> gate, std::span<const float> up) {
  std::vector<double> out(gate.size());
  for (std::size_t i = 0; i < gate.size(); ++i)
    out[i] = gate[i] / (1 + std::exp(-static_cast<double>(gate[i]))) * up[i];
  return out;
}

double gemm_element(std::span<const float> a, std::span<const float> b, std::int64_t i,
                    std::int64_t j, std::int64_t k, double alpha) {
  return alpha * dot(a.data() + i * k, b.data() + j * k, k);
}

std::vector<double> gemm(std::span<const float> a, std::span<const float> b, std::int64_t m,
                         std::int64_t n, std::int64_t k, double alpha) {
  std::vector<double> c(static_cast<std::size_t>(m * n));
  parallel_for(m, [&](std::int64_t i) {
    for (std::int64_t j = 0; j < n; ++j)
      c[static_cast<std::size_t>(i * n + j)] = gemm_element(a, b, i, j, k, alpha);
  });
  return c;
}

}  // namespace kvroof::reference
