#include "kernels/quantised_data.hpp"

#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <array>
#include <random>
#include <stdexcept>

#include "kernels/check.hpp"

namespace kvroof::kernels {
namespace {

constexpr std::size_t kColumns = 128;

bool packed(Dtype d) { return d == Dtype::int4_g128 || d == Dtype::nvfp4; }
bool per_token(Dtype d) {
  return d == Dtype::fp8_per_token || d == Dtype::int8_per_token || d == Dtype::int4_g128;
}

template <class T>
void upload(const Buffer& b, const std::vector<T>& x) {
  CUDA_CHECK(cudaMemcpy(b.as(), x.data(), b.bytes(), cudaMemcpyHostToDevice));
}

/// Values of E2M1, sign in the highest bit (OCP Microscaling Formats 1.0).
constexpr std::array<float, 8> kE2m1{0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
float e2m1(int code) { return (code & 8) != 0 ? -kE2m1[code & 7] : kE2m1[code & 7]; }

float e4m3(std::uint8_t byte) {
  __nv_fp8_e4m3 x;
  x.__x = byte;
  return static_cast<float>(x);
}

/// What a scale near 1 is divided by for values of about unit spread.
float code_spread(Dtype d) {
  switch (d) {
    case Dtype::int8_per_token:
      return 64;
    case Dtype::int4_g128:
      return 6;
    default:
      return 1;
  }
}

}  // namespace

QuantisedData quantised_data(Dtype format, std::size_t rows) {
  const std::size_t scale_bytes = format == Dtype::int4_g128 ? sizeof(__half) : sizeof(float);
  return {.format = format,
          .rows = rows,
          .codes = Buffer(rows * kColumns / (packed(format) ? 2 : 1)),
          .scale = Buffer(per_token(format) ? rows * scale_bytes : scale_bytes),
          .blocks = Buffer(format == Dtype::nvfp4 ? rows * kColumns / 16 : 0)};
}

void fill_bytes(const Buffer& b) {
  fill_random(b, Dtype::int8);  // all but one of the bytes
}

void fill_quantised(const QuantisedData& x) {
  const bool e4m3_codes = x.format == Dtype::fp8 || x.format == Dtype::fp8_per_token;
  if (e4m3_codes) fill_random(x.codes, Dtype::fp8);
  else fill_bytes(x.codes);

  std::mt19937 random(static_cast<std::uint32_t>(fresh_seed()));
  std::uniform_real_distribution<float> near_one(0.5f, 1.5f);
  const auto scales = [&]<class T>(T) {
    std::vector<T> s(x.scale.bytes() / sizeof(T));
    for (T& value : s) value = static_cast<T>(near_one(random) / code_spread(x.format));
    upload(x.scale, s);
  };
  if (x.format == Dtype::int4_g128) scales(__half{});
  else scales(float{});
  if (x.format != Dtype::nvfp4) return;
  std::vector<std::uint8_t> blocks(x.blocks.bytes());
  for (std::uint8_t& byte : blocks) {  // 1/32 .. 1.9 and, now and then, zero or the smallest value
    const auto bits = static_cast<std::uint32_t>(random());
    byte = static_cast<std::uint8_t>(bits % 64 == 0 ? bits >> 8 & 1 : 0x10 + (bits >> 8) % 0x30);
  }
  upload(x.blocks, blocks);
}

std::vector<float> widened(const QuantisedData& x, const Buffer& zeros, int shift) {
  const auto codes = to_host<std::uint8_t>(x.codes);
  const auto zero_points = to_host<std::uint8_t>(zeros);
  const auto blocks = to_host<std::uint8_t>(x.blocks);
  const std::vector<float> scale =
      to_floats(x.scale, x.format == Dtype::int4_g128 ? Dtype::fp16 : Dtype::fp32);
  std::vector<float> values(x.rows * kColumns);
  for (std::size_t row = 0; row < x.rows; ++row)
    for (std::size_t column = 0; column < kColumns; ++column) {
      const std::size_t i = row * kColumns + column;
      const int nibble = packed(x.format) ? codes[i / 2] >> 4 * (i % 2) & 15 : 0;
      float value = 0;
      switch (x.format) {
        case Dtype::fp8:
        case Dtype::fp8_per_token:
          value = e4m3(codes[i]);
          break;
        case Dtype::int8_per_token:
          value = static_cast<std::int8_t>(codes[i]);
          break;
        case Dtype::int4_g128:
          value = static_cast<float>(nibble - (zero_points[row] >> shift & 15));
          break;
        case Dtype::nvfp4:
          value = e2m1(nibble) * e4m3(blocks[i / 16]);
          break;
        default:
          throw std::invalid_argument("no quantised data of this format");
      }
      values[i] = value * scale[per_token(x.format) ? row : 0];
    }
  return values;
}

}  // namespace kvroof::kernels
