#include "kernels/hopper/fp8_data.hpp"

#include <cmath>
#include <random>

#include "kernels/attention/flash_v3_fp8.hpp"
#include "kernels/check.hpp"

namespace kvroof::kernels::hopper {
namespace {

BlockScaled block_scaled(const Buffer& codes, int groups, int rows, int d, int block,
                         bool from_bf16) {
  const auto n = static_cast<std::size_t>(groups) * static_cast<std::size_t>(rows) *
                 static_cast<std::size_t>(d);
  const auto blocks =
      static_cast<std::size_t>(groups) * static_cast<std::size_t>((rows + block - 1) / block);
  return {.codes = codes,
          .scales = Buffer(4 * blocks),
          .wide = Buffer(from_bf16 ? 2 * n : 0),
          .groups = groups,
          .rows = rows,
          .d = d,
          .block = block};
}

/// Fresh values; given scales lie between 2^-spread and 2^spread.
void refill(const BlockScaled& x, float sigma, double spread) {
  if (x.wide.bytes() > 0) {
    fill_random(x.wide, Dtype::bf16, sigma);
    poison(x.codes), poison(x.scales);
    return;
  }
  fill_random(x.codes, Dtype::fp8, sigma);
  std::mt19937_64 random(fresh_seed());
  std::uniform_real_distribution<double> exponent(-spread, spread);
  std::vector<float> scales(x.scales.bytes() / 4);
  for (float& scale : scales) scale = static_cast<float>(std::exp2(exponent(random)));
  CUDA_CHECK(cudaMemcpy(x.scales.as(), scales.data(), x.scales.bytes(), cudaMemcpyHostToDevice));
}

std::vector<float> values(const BlockScaled& x) {
  std::vector<float> out = to_floats(x.codes, Dtype::fp8);
  const std::vector<float> scales = to_floats(x.scales, Dtype::fp32);
  const int blocks = (x.rows + x.block - 1) / x.block;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i) / x.d, group = row / x.rows;
    out[i] *= scales[static_cast<std::size_t>(group * blocks + row % x.rows / x.block)];
  }
  return out;
}

void quantise(const BlockScaled& x, const Signs* signs, cudaStream_t stream) {
  launch_quantise({.x = x.wide.as<__nv_bfloat16>(),
                   .codes = x.codes.as<std::uint8_t>(),
                   .scales = x.scales.as<float>(),
                   .groups = x.groups,
                   .rows = x.rows,
                   .d = x.d,
                   .block = x.block},
                  signs, stream);
}

void refill(const BlockScaledData& x) {
  refill(x.q, x.data.sigma, 1), refill(x.k, 1, 1);
  refill(x.v, 1, 3);  // tiles whose values are up to 64 times those of others
}

}  // namespace

BlockScaledData block_scaled_data(const PrefillData& data, bool from_bf16, bool incoherent) {
  const flash_v3::Shape& x = data.shape;
  using flash_v3_fp8::kKeyBlock, flash_v3_fp8::kQueryBlock;
  const int kv = x.b * x.h_kv;
  const BlockScaledData out{
      .data = data,
      .q = block_scaled(data.q, x.b * x.h_q, x.s_q, x.d_qk, kQueryBlock, from_bf16),
      .k = block_scaled(data.k, kv, x.s_kv, x.d_qk, kKeyBlock, from_bf16),
      .v = block_scaled(data.v, kv, x.s_kv, x.d_v, kKeyBlock, from_bf16),
      .incoherent = incoherent,
      .signs = random_signs(fresh_seed())};
  refill(out);
  return out;
}

void quantise(const BlockScaledData& x, cudaStream_t stream) {
  const Signs* signs = x.incoherent ? &x.signs : nullptr;
  quantise(x.q, signs, stream), quantise(x.k, signs, stream);
  quantise(x.v, nullptr, stream);
}

Verdict verify_block_scaled(const BlockScaledData& x,
                            const std::function<void(cudaStream_t)>& launch, double tolerance) {
  refill(x);
  poison(x.data.o), poison(x.data.lse);
  launch(nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());
  return check_prefill(x.data, values(x.q), values(x.k), values(x.v), tolerance);
}

}  // namespace kvroof::kernels::hopper
