#include "tests/hopper/fp8_error.hpp"

#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/attention/flash_v3_fp8.hpp"
#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/elementwise/quantise.hpp"
#include "kernels/reference.hpp"

namespace kvroof::test {
namespace {

using namespace kernels;
using Values = std::vector<float>;  // [heads, s, d]

struct Problem {
  int heads, s, d;
  Values q{}, k{}, v{};
  std::vector<int> rows{};          // of every head, head·s + token
  std::vector<double> reference{};  // [rows, d]
  double scale() const { return 1 / std::sqrt(double(d)); }
  std::size_t width() const { return static_cast<std::size_t>(d); }
};

Values with_outliers(std::size_t n, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  std::bernoulli_distribution outlier(0.001);
  Values out(n);
  for (float& x : out) x = normal(random) + (outlier(random) ? 10 * normal(random) : 0);
  return out;
}

float as_half(double x) { return __half2float(__double2half(x)); }
Values rounded_to_half(const Values& x) {
  Values out(x.size());
  std::transform(x.begin(), x.end(), out.begin(), [](float v) { return as_half(v); });
  return out;
}

/// Scores of one row, and out = sum of weights · V.
std::vector<double> scores(const Problem& p, const Values& q, const Values& k, int row) {
  std::vector<double> s(static_cast<std::size_t>(p.s));
  const float* of_q = &q[static_cast<std::size_t>(row) * p.width()];
  const float* of_k = &k[static_cast<std::size_t>(row / p.s * p.s) * p.width()];
  for (std::size_t j = 0; j < s.size(); ++j)
    for (std::size_t i = 0; i < p.width(); ++i) s[j] += double{of_q[i]} * of_k[j * p.width() + i];
  return s;
}
std::vector<double> weighted(const Problem& p, const Values& v, int row,
                             const std::vector<double>& weights) {
  std::vector<double> out(p.width());
  const float* of_v = &v[static_cast<std::size_t>(row / p.s * p.s) * p.width()];
  for (std::size_t j = 0; j < weights.size(); ++j)
    for (std::size_t i = 0; i < p.width(); ++i) out[i] += weights[j] * of_v[j * p.width() + i];
  return out;
}

/// f(row) -> out [d] of every row to check.
std::vector<double> each_row(const Problem& p, const auto& f) {
  std::vector<double> out(p.rows.size() * p.width());
  reference::parallel_for(static_cast<std::int64_t>(p.rows.size()), [&](std::int64_t n) {
    const auto at = static_cast<std::size_t>(n);
    const std::vector<double> row = f(p.rows[at]);
    std::copy(row.begin(), row.end(), &out[at * p.width()]);
  });
  return out;
}

std::vector<double> exact(const Problem& p) {
  return each_row(p, [&](int row) {
    std::vector<double> s = scores(p, p.q, p.k, row);
    const double most = *std::max_element(s.begin(), s.end());
    double sum = 0;
    for (double& x : s) sum += x = std::exp((x - most) * p.scale());
    for (double& x : s) x /= sum;
    return weighted(p, p.v, row, s);
  });
}

/// As a framework without a fused kernel does it: S and P are FP16 tensors.
std::vector<double> standard_half(const Problem& p) {
  const Values q = rounded_to_half(p.q), k = rounded_to_half(p.k), v = rounded_to_half(p.v);
  return each_row(p, [&](int row) {
    std::vector<double> s = scores(p, q, k, row);
    for (double& x : s) x = as_half(as_half(x) * p.scale());
    const double most = *std::max_element(s.begin(), s.end());
    double sum = 0;
    for (const double x : s) sum += std::exp(x - most);
    for (double& x : s) x = as_half(std::exp(x - most) / sum);
    std::vector<double> out = weighted(p, v, row, s);
    for (double& x : out) x = as_half(x);
    return out;
  });
}

double rmse(const Problem& p, const std::vector<double>& out) {
  double sum = 0;
  for (std::size_t i = 0; i < out.size(); ++i) sum += std::pow(out[i] - p.reference[i], 2);
  return std::sqrt(sum / static_cast<double>(out.size()));
}
/// of what a kernel wrote, [heads, s, d]
double rmse(const Problem& p, const Buffer& o, Dtype dtype) {
  const Values all = to_floats(o, dtype);
  return rmse(p, each_row(p, [&](int row) {
                const auto first = all.begin() + std::ptrdiff_t{row} * p.d;
                return std::vector<double>(first, first + p.d);
              }));
}

template <class T, class F>
Buffer on_device(const Values& x, const F& convert) {
  std::vector<T> out(x.size());
  std::transform(x.begin(), x.end(), out.begin(), convert);
  return to_device(out);
}

/// A call on contiguous tensors of all heads.
struct Launch {
  Buffer o, ticket = to_device(std::vector<unsigned>{0});
  flash_v3::Call call{};
};
Launch prepared(const Problem& p, const Buffer& q, const Buffer& k, const Buffer& v) {
  const std::int64_t head = std::int64_t{p.s} * p.d, all = head * p.heads;
  Launch l{.o = Buffer(static_cast<std::size_t>(all) * 2)};
  poison(l.o);
  const auto tensor = [&](const Buffer& b) { return flash_v3::Tensor{b.as(), all, head, p.d}; };
  l.call = {.shape = {.b = 1,
                      .h_q = p.heads,
                      .h_kv = p.heads,
                      .s_q = p.s,
                      .s_kv = p.s,
                      .d_qk = p.d,
                      .d_v = p.d},
            .scale = static_cast<float>(p.scale()),
            .q = tensor(q),
            .k = tensor(k),
            .v = tensor(v),
            .o = tensor(l.o),
            .ticket = l.ticket.as<unsigned>()};
  return l;
}

double flash_half(const Problem& p) {
  const auto half = [](float x) { return __float2half(x); };
  const Buffer q = on_device<__half>(p.q, half), k = on_device<__half>(p.k, half),
               v = on_device<__half>(p.v, half);
  Launch l = prepared(p, q, k, v);
  l.call.fp16 = true;
  flash_v3::run(l.call, nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());
  return rmse(p, l.o, Dtype::fp16);
}

/// BF16 tensors, quantised and multiplied on the GPU.
double flash_e4m3(const Problem& p, bool by_blocks, bool incoherent, std::uint64_t seed) {
  const Signs signs = random_signs(seed);
  struct Codes {
    Buffer codes, scales;
  };
  const auto quantised = [&](const Values& x, int block, bool rotated) {
    const Buffer wide = on_device<__nv_bfloat16>(x, [](float v) { return __float2bfloat16(v); });
    const auto blocks =
        static_cast<std::size_t>(p.heads) * static_cast<std::size_t>((p.s + block - 1) / block);
    const Codes out{Buffer(x.size()), Buffer(4 * blocks)};
    const Buffer maxima(4 * blocks);
    const QuantiseParams params{wide.as<__nv_bfloat16>(),
                                out.codes.as<std::uint8_t>(),
                                out.scales.as<float>(),
                                p.heads,
                                p.s,
                                p.d,
                                block};
    if (by_blocks) launch_quantise(params, rotated ? &signs : nullptr, nullptr);
    else launch_quantise_whole(params, maxima.as<float>(), rotated ? &signs : nullptr, nullptr);
    CUDA_CHECK(cudaDeviceSynchronize());
    return out;
  };
  const Codes q = quantised(p.q, flash_v3_fp8::kQueryBlock, incoherent),
              k = quantised(p.k, flash_v3_fp8::kKeyBlock, incoherent),
              v = quantised(p.v, flash_v3_fp8::kKeyBlock, false);
  Launch l = prepared(p, q.codes, k.codes, v.codes);
  l.call.block_scales = by_blocks;
  l.call.q_scale = q.scales.as<float>(), l.call.k_scale = k.scales.as<float>();
  l.call.v_scale = v.scales.as<float>();
  const Buffer workspace(flash_v3_fp8::workspace_bytes(l.call.shape));
  flash_v3_fp8::run(l.call, workspace.as(), nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());
  return rmse(p, l.o, Dtype::bf16);
}

}  // namespace

std::vector<ErrorRow> errors_with_outliers(int heads, int s, int d, int rows, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Problem p{.heads = heads, .s = s, .d = d};
  const std::size_t n =
      static_cast<std::size_t>(heads) * static_cast<std::size_t>(s) * static_cast<std::size_t>(d);
  p.q = with_outliers(n, random), p.k = with_outliers(n, random), p.v = with_outliers(n, random);
  for (int h = 0; h < heads; ++h)
    for (int i = 0; i < rows; ++i)
      p.rows.push_back(h * s + static_cast<int>(random() % static_cast<unsigned>(s)));
  p.reference = exact(p);
  return {
      {"FP16 with S and P in FP16", 3.2e-4, rmse(p, standard_half(p))},
      {"flash_v3 FP16", 1.9e-4, flash_half(p)},
      {"flash_v3_fp8, a scale a head", 2.4e-2, flash_e4m3(p, false, false, seed)},
      {"flash_v3_fp8, block scales, incoherent", 9.1e-3, flash_e4m3(p, true, true, seed), true},
      {"flash_v3_fp8, a scale a head, incoherent", 9.3e-3, flash_e4m3(p, false, true, seed), true},
      {"flash_v3_fp8, block scales", 2.4e-2, flash_e4m3(p, true, false, seed)}};
}

}  // namespace kvroof::test
