// Decode over an 8-bit K/V cache.                        model: model/attention/quantised_kv.cpp
//   k, v [b, h_kv, s_kv, 128]   fp8: E4M3, one scale a tensor   int8, fp8 per token: one fp32 scale
//   per (request, K/V head, token) in k_scale, v_scale [b, h_kv, s_kv], all positive   q, o [b,
//   h_q, 128] bf16 S = scale · k_scale_j · (q · k_j)     O = sum_j (p_j · v_scale_j) · v_j
// K and V stay 8-bit in shared memory and widen to fp16 (exactly) on the way into the tensor cores;
// scales act on the columns of S and P, once a score instead of once an element. One block per
// (split, request, K/V head); the schedule is that of kernels/split_kv.cuh, with half the bytes.
//   HBM read   b·h_kv·s_kv·2·(128 + 4 per-token) bytes + q        written   o, lse
//
// ldmatrix cannot transpose bytes, so the lanes read 16-byte chunks and the order of the
// contraction is permuted instead: both operands of Q·K^T take d in the order of the chunks, and
// column n of product tile j of P·V stands for d = 16·n + j.
#include <array>
#include <cmath>
#include <random>

#include "kernels/attention/entries.hpp"
#include "kernels/check.hpp"
#include "kernels/combine.cuh"
#include "kernels/split_kv.cuh"
#include "model/attention/quantised_kv.hpp"

namespace kvroof::kernels {
namespace {

enum class Code { fp8, int8 };

template <Code kCode_, bool kPerToken_>
struct NarrowTile {
  static constexpr Code kCode = kCode_;
  static constexpr bool kPerToken = kPerToken_;
  static constexpr int kD = 128, kRows = 16, kKeys = 32;  // lane j of a warp knows key j's scales
  static constexpr int kWarps = 4, kThreads = 32 * kWarps, kStages = 3, kCtasPerSm = 2;
  static constexpr int kColTiles = kD / 8, kKeyTiles = kKeys / 8, kKeySteps = kKeys / 16;
};

struct NarrowCache {
  const std::uint8_t *k, *v;
  const float *k_scale, *v_scale;  // one each, or [b, h_kv, s_kv]
  int s_kv;
};

/// [32 keys, 128 bytes]; 16-byte chunk c of key r lies at chunk c ^ swizzle(r), so that the four
/// keys a quad reads for V, and the two neighbouring keys eight lanes read for K, never share a
/// bank.
struct NarrowRows {
  alignas(128) std::uint8_t data[32 * 128];
  __device__ static int offset(int row, int chunk) {
    return row * 128 + ((chunk ^ ((row & 1) << 2) ^ ((row >> 1 & 3) << 1)) << 4);
  }
  __device__ uint4 chunk(int row, int c) const {
    return *reinterpret_cast<const uint4*>(data + offset(row, c));
  }
};

template <class T>
struct NarrowSmem {
  struct Stage {
    NarrowRows k, v;
  };
  union Warp {
    Stage stage[T::kStages];
    typename WarpResult<T>::Type result;
  };
  Warp warp[T::kWarps];
};

/// Bytes 0, 1 and 2, 3 of x as two pairs of fp16; exact.
template <Code kCode>
__device__ __forceinline__ uint2 widen(std::uint32_t x) {
  if constexpr (kCode == Code::int8) {  // 0x64uu is 1024 + u; u = value + 128
    const std::uint32_t u = x ^ 0x80808080u;
    const __half2 offset = __float2half2_rn(1152.f);
    std::uint32_t lo = __byte_perm(u, 0x64646464u, 0x4140),
                  hi = __byte_perm(u, 0x64646464u, 0x4342);
    return {bits(__hsub2(*reinterpret_cast<__half2*>(&lo), offset)),
            bits(__hsub2(*reinterpret_cast<__half2*>(&hi), offset))};
  } else {
#if __CUDA_ARCH__ >= 890
    uint2 y;
    asm("{ .reg .b16 lo, hi; mov.b32 {lo, hi}, %2; cvt.rn.f16x2.e4m3x2 %0, lo;"
        " cvt.rn.f16x2.e4m3x2 %1, hi; }"
        : "=r"(y.x), "=r"(y.y)
        : "r"(x));
    return y;
#else  // sign and magnitude moved into place; the exponent bias differs by 8
    const __half2 rebias = __float2half2_rn(256.f);
    const auto one = [&](std::uint32_t pair) {  // bytes 1 and 3
      std::uint32_t y = (pair & 0x80008000u) | ((pair & 0x7f007f00u) >> 1);
      return bits(__hmul2(*reinterpret_cast<__half2*>(&y), rebias));
    };
    return {one(__byte_perm(x, 0, 0x1404)), one(__byte_perm(x, 0, 0x3424))};
#endif
  }
}

template <class T>
__device__ __forceinline__ void load_stage(typename NarrowSmem<T>::Stage& stage,
                                           const std::uint8_t* k, const std::uint8_t* v, int valid,
                                           int lane) {
#pragma unroll
  for (int step = 0; step < T::kKeys / 4; ++step) {
    const int r = 4 * step + lane / 8, chunk = lane % 8,
              from = (r < valid ? r : 0) * T::kD + 16 * chunk;
    const int to = NarrowRows::offset(r, chunk);
    copy_async(shared_address(stage.k.data) + to, k + from, r < valid);
    copy_async(shared_address(stage.v.data) + to, v + from, r < valid);
  }
}

/// Q in fp16, in the order of K's chunks: element 4·t + e of chunk 4·i + c is d = 64·i + 16·c + 4·t
/// + e.
template <class QRow>
__device__ __forceinline__ void load_q(std::uint32_t (&q)[8][4], const QRow& q_row, int lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const bf16* row = q_row(lane / 4 + 8 * half);
#pragma unroll
    for (int step = 0; step < 8; ++step)
#pragma unroll
      for (int hi = 0; hi < 2; ++hi) {
        const int d = step / 4 * 64 + lane % 4 * 16 + step % 4 * 4 + 2 * hi;
        q[step][2 * hi + half] =
            row == nullptr ? 0u : pack_fp16(__bfloat162float(row[d]), __bfloat162float(row[d + 1]));
      }
  }
}

template <class T>
__global__ __launch_bounds__(T::kThreads,
                             T::kCtasPerSm) void attend_narrow(const SplitParams p,
                                                               const NarrowCache cache) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<NarrowSmem<T>*>(shared);
  const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
  auto& mine = smem.warp[threadIdx.x / 32];
  const auto packed = PackedRows::of<T::kRows>(p);
  const int2 range = split_range<T>(cache.s_kv, blockIdx.x, p.splits);
  const std::int64_t base =
      (static_cast<std::int64_t>(packed.request) * p.h_kv + packed.kv_head) * cache.s_kv;
  const float *k_scales = cache.k_scale + (T::kPerToken ? base : 0),
              *v_scales = cache.v_scale + (T::kPerToken ? base : 0);
  const float scale = p.scale * 1.4426950408889634f * (T::kPerToken ? 1.f : k_scales[0]);

  constexpr int kStride = T::kKeys * T::kWarps;
  const int first = range.x + threadIdx.x / 32 * T::kKeys;
  int load_key = first, load_idx = 0;
  const auto start_next = [&] {
    if (load_key < range.y) {
      const std::int64_t row = (base + load_key) * T::kD;
      load_stage<T>(mine.stage[load_idx], cache.k + row, cache.v + row, range.y - load_key, lane);
    }
    commit_copies();
    load_key += kStride, load_idx = load_idx + 1 == T::kStages ? 0 : load_idx + 1;
  };
#pragma unroll
  for (int i = 0; i < T::kStages - 1; ++i) start_next();

  const auto scale_of = [&](const float* scales, int key) {
    return T::kPerToken && key + lane < range.y ? scales[key + lane] : 1.f;
  };
  float next_k_scale = scale_of(k_scales, first), next_v_scale = scale_of(v_scales, first);
  std::uint32_t q[8][4];
  load_q(
      q, [&](int r) { return r < packed.count ? p.q + packed.row(p, r) * T::kD : nullptr; }, lane);

  float o[T::kColTiles][4] = {};
  OnlineSoftmax softmax;
  int stage_idx = 0;
  for (int key = first; key < range.y; key += kStride) {
    const float k_scale = next_k_scale, v_scale = next_v_scale;
    next_k_scale = scale_of(k_scales, key + kStride),
    next_v_scale = scale_of(v_scales, key + kStride);
    wait_copies<T::kStages - 2>();
    __syncwarp();  // the oldest stage has arrived; the one before it has been read by all lanes
    start_next();
    const auto& stage = mine.stage[stage_idx];
    stage_idx = stage_idx + 1 == T::kStages ? 0 : stage_idx + 1;

    float s[T::kKeyTiles][4] = {};  // S = Q·K^T
#pragma unroll
    for (int t = 0; t < T::kKeyTiles; ++t)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint4 chunk = stage.k.chunk(8 * t + g, 4 * i + c);
        const std::uint32_t words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
        for (int w = 0; w < 4; ++w) {
          const uint2 b = widen<T::kCode>(words[w]);
          mma_fp16(s[t], q[4 * i + w], b.x, b.y);
        }
      }
    if constexpr (T::kPerToken) {
#pragma unroll
      for (int t = 0; t < T::kKeyTiles; ++t)
#pragma unroll
        for (int e = 0; e < 4; ++e) s[t][e] *= __shfl_sync(~0u, k_scale, 8 * t + 2 * c + e % 2);
    }
    bool moved;
    if (key + T::kKeys <= range.y) {
      moved = softmax.update<false>(s, scale);
    } else {
#pragma unroll
      for (int t = 0; t < T::kKeyTiles; ++t)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (key + 8 * t + 2 * c + e % 2 >= range.y) s[t][e] = -INFINITY;
      moved = softmax.update<true>(s, scale);
    }
    if (moved) softmax.correct(o);
    if constexpr (T::kPerToken) {
#pragma unroll
      for (int t = 0; t < T::kKeyTiles; ++t)
#pragma unroll
        for (int e = 0; e < 4; ++e) s[t][e] *= __shfl_sync(~0u, v_scale, 8 * t + 2 * c + e % 2);
    }

#pragma unroll
    for (int n = 0; n < T::kKeySteps; ++n) {  // O += P·V, 16 keys at a time
      const float(&lo)[4] = s[2 * n], (&hi)[4] = s[2 * n + 1];
      const std::uint32_t a[4] = {pack_fp16(lo[0], lo[1]), pack_fp16(lo[2], lo[3]),
                                  pack_fp16(hi[0], hi[1]), pack_fp16(hi[2], hi[3])};
      uint4 rows[4];  // keys 2c, 2c + 1, 2c + 8, 2c + 9, columns 16·g ..
#pragma unroll
      for (int j = 0; j < 4; ++j) rows[j] = stage.v.chunk(16 * n + 2 * c + j % 2 + j / 2 * 8, g);
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        const auto word = [&](int j) {
          return reinterpret_cast<const std::uint32_t*>(&rows[j])[w];
        };
        // two keys' bytes side by side: columns 4w, 4w + 1 and 4w + 2, 4w + 3
        const uint2 x01 = widen<T::kCode>(__byte_perm(word(0), word(1), 0x5140));
        const uint2 x23 = widen<T::kCode>(__byte_perm(word(0), word(1), 0x7362));
        const uint2 y01 = widen<T::kCode>(__byte_perm(word(2), word(3), 0x5140));
        const uint2 y23 = widen<T::kCode>(__byte_perm(word(2), word(3), 0x7362));
        mma_fp16(o[4 * w], a, x01.x, y01.x);
        mma_fp16(o[4 * w + 1], a, x01.y, y01.y);
        mma_fp16(o[4 * w + 2], a, x23.x, y23.x);
        mma_fp16(o[4 * w + 3], a, x23.y, y23.y);
      }
    }
  }
  wait_copies<0>();
  softmax.finish();
  allow_next_kernel();

  __syncwarp();
  publish_softmax<T>(mine.result, softmax, scale);
  const float out_scale = T::kPerToken ? 1.f : v_scales[0];
#pragma unroll
  for (int t = 0; t < T::kColTiles; ++t)
#pragma unroll
    for (int e = 0; e < 4; ++e)
      mine.result.o[g + e / 2 * 8][16 * (2 * c + e % 2) + t] = o[t][e] * out_scale;
  store_merged<T>(p, packed, smem);
}

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

using Fp8 = NarrowTile<Code::fp8, false>;
using Fp8PerToken = NarrowTile<Code::fp8, true>;
using Int8PerToken = NarrowTile<Code::int8, true>;

/// The argument "format": 0 fp8 with one scale a tensor; 1 fp8, 2 int8 with a scale a token.
struct Format {
  Dtype dtype, code;
  void (*launch)(const SplitParams&, const NarrowCache&, cudaStream_t);
  bool per_token;
};
Format format_of(const Args& args) {
  switch (static_cast<int>(arg(args, "format", 0))) {
    case 1:
      return {Dtype::fp8_per_token, Dtype::fp8, launch_narrow<Fp8PerToken>, true};
    case 2:
      return {Dtype::int8_per_token, Dtype::int8, launch_narrow<Int8PerToken>, true};
  }
  return {Dtype::fp8, Dtype::fp8, launch_narrow<Fp8>, false};
}

/// Codes times scales, as the oracle reads them.
std::vector<float> widened(const Buffer& codes, const Buffer& scales, Dtype code) {
  std::vector<float> x = to_floats(codes, code);
  const std::vector<float> s = to_floats(scales, Dtype::fp32);
  const std::size_t run = x.size() / s.size();
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= s[i / run];
  return x;
}

/// Positive, as scales are: max |x| / largest code, for x of unit spread.
void fill_scales(const Buffer& scales, Dtype code) {
  std::mt19937_64 random(fresh_seed());
  std::uniform_real_distribution<float> factor(0.5f, 1.5f);
  std::vector<float> x(scales.bytes() / sizeof(float));
  for (float& s : x) s = factor(random) / (code == Dtype::int8 ? 64.f : 1.f);
  CUDA_CHECK(cudaMemcpy(scales.as(), x.data(), scales.bytes(), cudaMemcpyHostToDevice));
}

Case make(const Args& args) {
  AttentionShape x = attention_shape(args);
  x.s_q = 1;
  const Format format = format_of(args);
  AttentionData data = decode_data(x, args);
  const auto keys = static_cast<std::size_t>(data.call.b * data.call.h_kv * data.call.s_kv);
  const std::size_t scales = format.per_token ? keys : 1;
  data.k = Buffer(keys * 128), data.v = Buffer(keys * 128);
  const Buffer k_scale(scales * sizeof(float)), v_scale(scales * sizeof(float));
  const auto fill = [=] {
    fill_random(data.q, Dtype::bf16, data.sigma);
    fill_random(data.k, format.code), fill_random(data.v, format.code);
    fill_scales(k_scale, format.code), fill_scales(v_scale, format.code);
  };
  fill();
  data.k_values = [=] { return widened(data.k, k_scale, format.code); };
  data.v_values = [=] { return widened(data.v, v_scale, format.code); };

  const int splits = choose_splits(x, args);
  Buffer partials;
  const SplitParams p = split_params(data, splits, partials);
  const NarrowCache cache{data.k.as<std::uint8_t>(), data.v.as<std::uint8_t>(), k_scale.as<float>(),
                          v_scale.as<float>(), static_cast<int>(x.s_kv)};
  const auto launch = [=, keep = std::vector{data.q, data.k, data.v, data.o, data.lse, partials,
                                             k_scale, v_scale}](cudaStream_t stream) {
    format.launch(p, cache, stream);
  };
  const attention::Tile tile{.m = 16,
                             .n = 32,
                             .ctas_per_sm = 2,
                             .mma_rows = 16,
                             .row_lanes = 4,
                             .mma_sync = true,
                             .overlap = 1};
  const attention::Cost cost = attention::quantised_kv(
      x, {.kv = format.dtype}, on_chip(), {.tile = tile, .splits = static_cast<double>(splits)});
  return {.name = "quantised_kv " + std::string(name(format.dtype)) + " " + shape_name(x) +
                  " splits" + std::to_string(splits),
          .op = {.name = "quantised_kv",
                 .op_class = OpClass::decode_attention,
                 .work = cost.work,
                 .execution = cost.execution,
                 .handed_over = cost.handed_over},
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
  for (const double format : {0., 1., 2.})
    for (const auto& [b, h_q, s_kv] :
         {std::array{32., 32., 8192.}, std::array{32., 64., 8192.}, std::array{8., 64., 32768.},
          std::array{1., 64., 131072.}, std::array{64., 32., 2048.}})
      shapes.push_back({{"b", b}, {"h_q", h_q}, {"h_kv", 8}, {"s_kv", s_kv}, {"format", format}});
  return {.name = "quantised_kv",
          .title = "decode over an fp8 or int8 cache",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
