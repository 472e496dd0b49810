// Decode over a quantised K/V cache.                     model: model/attention/quantised_kv.cpp
//   q, o [b, h_q, 128] bf16    k, v [b, h_kv, s_kv, 128] codes, of K and V each:
//   format 0  fp8     E4M3, one fp32 scale a tensor                                   1 byte
//          1  fp8     a fp32 scale for each (request, K/V head, token)                1 + 4/128
//          2  int8    the same                                                        1 + 4/128
//          3  int4    a fp16 scale and a 4-bit zero point a token                     1/2 + 2.5/128
//          4  nvfp4   E2M1, an E4M3 scale for 16 columns, one fp32 scale              1/2 + 1/16
//          5  mixed   K as format 0, V as format 3
//   recent n  the newest n tokens are bf16, as KIVI keeps them (arXiv:2402.02750): a launch of
//             their own writes one more partial result
//   S = scale · q·k_j      O = sum_j softmax(S)_j · v_j       k, v: codes times their scales
// One block per (split, request, K/V head); the loop is in kernels/narrow_kv.cuh, the widening in
// kernels/narrow_codes.cuh.
//   HBM read   codes, scales and zero points, q        written   o, lse
#include <array>
#include <cmath>
#include <stdexcept>

#include "kernels/attention/entries.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/check.hpp"
#include "kernels/narrow_kv.cuh"
#include "kernels/quantised_data.hpp"
#include "model/attention/quantised_kv.hpp"

namespace kvroof::kernels {
namespace {

template <class T>
void launch_tile(const SplitParams& p, const NarrowCache& cache, cudaStream_t stream) {
  constexpr int kSmem = sizeof(NarrowSmem<T>);
  static const cudaError_t ready =
      cudaFuncSetAttribute(attend_narrow<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem);
  CUDA_CHECK(ready);
  const dim3 grid(p.splits, (p.h_q / p.h_kv + T::kRows - 1) / T::kRows, p.b * p.h_kv);
  attend_narrow<T><<<grid, T::kThreads, kSmem, stream>>>(p, SplitDivisors(p), cache);
  CUDA_CHECK(cudaGetLastError());
  if (p.parts == 0 && p.splits > 1) launch_combine(p, T::kD, stream);
}

/// Query rows of a block: one tile of 8, or two for larger groups, which then share the widening.
int rows_of(int group) { return group <= 8 ? 8 : 16; }

template <class K, class V>
void launch_narrow(const SplitParams& p, const NarrowCache& cache, cudaStream_t stream) {
  if (rows_of(p.h_q / p.h_kv) == 8) launch_tile<NarrowTile<K, V, 1>>(p, cache, stream);
  else launch_tile<NarrowTile<K, V, 2>>(p, cache, stream);
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
  int ctas_per_sm, warps;
};
template <class K, class V>
constexpr Format format_of(const char* name, Dtype k, Dtype v) {
  using T = NarrowTile<K, V, 1>;
  return {name, k, v, launch_narrow<K, V>, T::kCtasPerSm, T::kWarps};
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

/// Rows [heads, old + recent, 128] out of [heads, old, 128] and [heads, recent, 128].
std::vector<float> appended(const std::vector<float>& old, const std::vector<float>& recent,
                            std::int64_t heads) {
  if (recent.empty()) return old;
  const auto each_old = static_cast<std::ptrdiff_t>(old.size()) / heads,
             each_recent = static_cast<std::ptrdiff_t>(recent.size()) / heads;
  std::vector<float> all;
  for (std::int64_t h = 0; h < heads; ++h) {
    all.insert(all.end(), old.begin() + h * each_old, old.begin() + (h + 1) * each_old);
    all.insert(all.end(), recent.begin() + h * each_recent, recent.begin() + (h + 1) * each_recent);
  }
  return all;
}

struct Cache {
  QuantisedData k, v;
  Buffer zeros, recent_k, recent_v;
};

void fill(const AttentionData& data, const Cache& c) {
  fill_random(data.q, Dtype::bf16, data.sigma);
  fill_quantised(c.k), fill_quantised(c.v), fill_bytes(c.zeros);
  if (c.recent_k.bytes() > 0)
    fill_random(c.recent_k, Dtype::bf16), fill_random(c.recent_v, Dtype::bf16);
}

Case make(const Args& args) {
  AttentionShape x = attention_shape(args);
  x.s_q = 1;
  const double number = arg(args, "format", 0);
  if (!(number >= 0 && number < static_cast<double>(kFormats.size())))
    throw std::invalid_argument("quantised_kv: format is 0 to 5");
  const Format& format = kFormats[static_cast<std::size_t>(number)];
  AttentionData data = decode_data(x, args);
  const std::int64_t heads = data.call.b * data.call.h_kv;
  const auto recent = static_cast<int>(std::min(arg(args, "recent", 0), x.s_kv - 1));
  const int old = static_cast<int>(x.s_kv) - recent;
  const auto keys = static_cast<std::size_t>(heads * old);
  const auto recent_bytes = static_cast<std::size_t>(heads * recent) * 128 * 2;
  const Cache c{quantised_data(format.k, keys), quantised_data(format.v, keys), Buffer(keys),
                Buffer(recent_bytes), Buffer(recent_bytes)};
  data.k = c.k.codes, data.v = c.v.codes;
  fill(data, c);
  const auto values = [=](const QuantisedData& codes, int shift, const Buffer& newest) {
    return appended(widened(codes, c.zeros, shift),
                    recent > 0 ? to_floats(newest, Dtype::bf16) : std::vector<float>{}, heads);
  };
  data.k_values = [=] { return values(c.k, 0, c.recent_k); };
  data.v_values = [=] { return values(c.v, 4, c.recent_v); };

  // Narrow keys take all the warps an SM holds to widen; for 8 bits one block's bytes in flight do.
  const int splits = choose_splits(x, args, format.ctas_per_sm > 2 ? format.ctas_per_sm : 1);
  const int parts = splits + (recent > 0 ? 1 : 0);
  Buffer partials;
  SplitParams p = split_params(data, parts, partials);
  p.splits = splits, p.parts = recent > 0 ? parts : 0;
  SplitParams newest = p;  // the last part
  newest.splits = 1;
  if (recent > 0) newest.part_o += splits * 128, newest.part_lse2 += splits;
  const DenseCache recent_cache = contiguous_cache(c.recent_k, c.recent_v, data.call.h_kv, recent);
  const auto tensor = [](const QuantisedData& t) {
    return NarrowTensor{t.codes.as<std::uint8_t>(), t.scale.as(), t.blocks.as<std::uint8_t>()};
  };
  const NarrowCache cache{tensor(c.k), tensor(c.v), c.zeros.as<std::uint8_t>(), old};
  const auto launch = [=, keep = data](cudaStream_t stream) {
    (void)c, (void)partials;  // what p and the caches point to
    format.launch(p, cache, stream);
    if (recent == 0) return;
    launch_split(newest, recent_cache, 128, stream);
    launch_combine(p, 128, stream);
  };
  const int rows = rows_of(static_cast<int>(x.group()));
  const attention::Tile tile{.m = rows,
                             .n = 32,
                             .ctas_per_sm = format.ctas_per_sm,
                             .mma_rows = rows,
                             .row_lanes = 8,
                             .merged_warps = format.warps,
                             .mma_sync = true,
                             .overlap = 1};
  attention::Cost cost =
      attention::quantised_kv(x, {.kv = format.k, .math = MathType::fp16}, on_chip(),
                              {.tile = tile,
                               .splits = static_cast<double>(parts),
                               .high_precision = static_cast<double>(recent),
                               .recent_tile = decode_kernel_tile(128),
                               .v_format = format.v});
  if (recent > 0) cost.work.launches += 1;  // the newest tokens' own
  return {.name = "quantised_kv " + std::string(format.name) +
                  (recent > 0 ? " recent" + std::to_string(recent) : "") + " " + shape_name(x) +
                  " splits" + std::to_string(splits),
          .op = attention_op("quantised_kv", OpClass::decode_attention, cost, MathType::fp16),
          .launch = launch,
          .verify =
              [=] {
                fill(data, c);
                return verify_attention(data, launch, 1e-2, false);
              },
          .kernels_per_launch = (parts > 1 ? 2 : 1) + (recent > 0 ? 1 : 0)};
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
  for (const double s_kv : {2048., 32768.})  // KIVI's residual length
    shapes.push_back(
        {{"b", 16}, {"h_q", 32}, {"h_kv", 8}, {"s_kv", s_kv}, {"format", 3}, {"recent", 128}});
  return {.name = "quantised_kv",
          .title = "decode over an fp8, int8, int4, nvfp4 or mixed cache",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
