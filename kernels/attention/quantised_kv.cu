// Decode over a quantised K/V cache.                     model: model/attention/quantised_kv.cpp
//   q, o [b, h_q, 128] bf16    k, v [b, h_kv, s_kv, 128] codes, of K and V each:
//   format 0  fp8     E4M3, one fp32 scale a tensor                                   1 byte
//          1  fp8     a fp32 scale for each (request, K/V head, token)                1 + 4/128
//          2  int8    the same                                                        1 + 4/128
//          3  int4    a fp16 scale and a 4-bit zero point a token                     1/2 + 2.5/128
//          4  nvfp4   E2M1, an E4M3 scale for 16 columns, one fp32 scale              1/2 + 1/16
//          5  mixed   K as format 0, V as format 3
//   S = scale · q·k_j      O = sum_j softmax(S)_j · v_j       k, v: codes times their scales
// One block per (split, request, K/V head); the loop is in kernels/narrow_kv.cuh, the widening in
// kernels/narrow_codes.cuh.
//   HBM read   codes, scales and zero points, q        written   o, lse
#include <array>
#include <cmath>
#include <random>

#include "kernels/attention/entries.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/check.hpp"
#include "kernels/narrow_kv.cuh"
#include "kernels/quantised_data.hpp"
#include "model/attention/quantised_kv.hpp"

namespace kvroof::kernels {
namespace {

template <class T>
void launch_narrow(const SplitParams& p, const NarrowCache& cache, cudaStream_t stream) {
  constexpr int kSmem = sizeof(NarrowSmem<T>);
  static const cudaError_t ready =
      cudaFuncSetAttribute(attend_narrow<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem);
  CUDA_CHECK(ready);
  const dim3 grid(p.splits, (p.h_q / p.h_kv + T::kRows - 1) / T::kRows, p.b * p.h_kv);
  attend_narrow<T><<<grid, T::kThreads, kSmem, stream>>>(p, cache);
  CUDA_CHECK(cudaGetLastError());
  if (p.splits > 1) launch_combine(p, T::kD, stream);
}

using Fp8 = Narrow<Code::fp8, Scales::tensor>;
using Fp8PerToken = Narrow<Code::fp8, Scales::token>;
using Int8PerToken = Narrow<Code::int8, Scales::token>;
using Int4 = Narrow<Code::int4, Scales::group>;
using Nvfp4 = Narrow<Code::fp4, Scales::block16>;

/// One value of the argument "format".
struct Format {
  const char* name;
  Dtype k, v;
  void (*launch)(const SplitParams&, const NarrowCache&, cudaStream_t);
  int ctas_per_sm;
};
template <class K, class V>
constexpr Format format_of(const char* name, Dtype k, Dtype v) {
  using T = NarrowTile<K, V>;
  return {name, k, v, launch_narrow<T>, T::kCtasPerSm};
}
constexpr std::array<Format, 6> kFormats{
    format_of<Fp8, Fp8>("fp8", Dtype::fp8, Dtype::fp8),
    format_of<Fp8PerToken, Fp8PerToken>("fp8_per_token", Dtype::fp8_per_token,
                                        Dtype::fp8_per_token),
    format_of<Int8PerToken, Int8PerToken>("int8_per_token", Dtype::int8_per_token,
                                          Dtype::int8_per_token),
    format_of<Int4, Int4>("int4", Dtype::int4_g128, Dtype::int4_g128),
    format_of<Nvfp4, Nvfp4>("nvfp4", Dtype::nvfp4, Dtype::nvfp4),
    format_of<Fp8, Int4>("k fp8 v int4", Dtype::fp8, Dtype::int4_g128),
};

Case make(const Args& args) {
  AttentionShape x = attention_shape(args);
  x.s_q = 1;
  const Format& format = kFormats.at(static_cast<std::size_t>(arg(args, "format", 0)));
  AttentionData data = decode_data(x, args);
  const auto keys = static_cast<std::size_t>(data.call.b * data.call.h_kv * data.call.s_kv);
  const QuantisedData k = quantised_data(format.k, keys), v = quantised_data(format.v, keys);
  const Buffer zeros(keys);
  data.k = k.codes, data.v = v.codes;
  const auto fill = [=] {
    fill_random(data.q, Dtype::bf16, data.sigma);
    fill_quantised(k), fill_quantised(v), fill_bytes(zeros);
  };
  fill();
  data.k_values = [=] { return widened(k, zeros, 0); };
  data.v_values = [=] { return widened(v, zeros, 4); };

  // Narrow keys take all the warps an SM holds to widen; for 8 bits one block's bytes in flight do.
  const int splits = choose_splits(x, args, format.ctas_per_sm > 2 ? format.ctas_per_sm : 1);
  Buffer partials;
  const SplitParams p = split_params(data, splits, partials);
  const auto tensor = [](const QuantisedData& t) {
    return NarrowTensor{t.codes.as<std::uint8_t>(), t.scale.as(), t.blocks.as<std::uint8_t>()};
  };
  const NarrowCache cache{tensor(k), tensor(v), zeros.as<std::uint8_t>(), static_cast<int>(x.s_kv)};
  const auto launch = [=, keep = data](cudaStream_t stream) {
    (void)k, (void)v, (void)zeros, (void)partials;  // what p and cache point to
    format.launch(p, cache, stream);
  };
  const attention::Tile tile{.m = 16,
                             .n = 32,
                             .ctas_per_sm = format.ctas_per_sm,
                             .mma_rows = 16,
                             .row_lanes = 4,
                             .mma_sync = true,
                             .overlap = 1};
  const attention::Cost cost = attention::quantised_kv(
      x, {.kv = format.k, .math = MathType::fp16}, on_chip(),
      {.tile = tile, .splits = static_cast<double>(splits), .v_format = format.v});
  return {.name = "quantised_kv " + std::string(format.name) + " " + shape_name(x) + " splits" +
                  std::to_string(splits),
          .op = attention_op("quantised_kv", OpClass::decode_attention, cost, MathType::fp16),
          .launch = launch,
          .verify =
              [=] {
                fill();
                return verify_attention(data, launch, 1e-2, false);
              },
          .kernels_per_launch = splits > 1 ? 2 : 1};
}

}  // namespace

Entry quantised_kv_entry() {
  std::vector<Args> shapes;
  for (std::size_t format = 0; format < kFormats.size(); ++format)
    for (const auto& [b, h_q, s_kv] : {std::array{32., 32., 8192.}, std::array{8., 64., 32768.},
                                       std::array{1., 64., 131072.}, std::array{16., 32., 2048.}})
      shapes.push_back({{"b", b},
                        {"h_q", h_q},
                        {"h_kv", 8},
                        {"s_kv", s_kv},
                        {"format", static_cast<double>(format)}});
  return {.name = "quantised_kv",
          .title = "decode over an fp8, int8, int4, nvfp4 or mixed cache",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
