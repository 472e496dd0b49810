// bf16 -> E4M3, one scale for each block of rows.                      model: model/elementwise.cpp
//   x [groups, rows, d] -> codes [groups, rows, d], scales [groups, ceil(rows / block)]
//   scale = max |x| of the block / 448      code = E4M3(x / scale)
// With signs D, x is first turned by H·D / sqrt(d), H the Hadamard matrix: entries that stand out
// spread over the whole row, and Q·K^T stays what it was.
// Shah et al., FlashAttention-3 (arXiv:2407.08608), section 3.3: block quantisation and incoherent
// processing; the rotation is that of QuIP (Chee et al., arXiv:2307.13304; Tseng et al.,
// arXiv:2402.04396).
//
// d / 16 lanes share a row, 16 elements each: 8 at 8·lane and 8 at d / 2 + 8·lane, so that every
// access is 16 bytes and log2(d) butterflies are 4 in registers and the others between lanes. A
// thread block keeps its rows in registers from the maximum to the codes.
//   HBM   read 2 bytes an element, written 1, and 4 bytes a block of rows
#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <string>

#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/elementwise/entries.hpp"
#include "kernels/elementwise/quantise.hpp"
#include "kernels/elementwise/vector.cuh"
#include "model/elementwise.hpp"

#include <cuda_fp8.h>

namespace kvroof::kernels {
namespace {

constexpr float kLargest = 448;     // E4M3
constexpr float kLeast = 0x1p-40f;  // a block of zeros gets a scale as well
enum class Part { all, maxima, codes };

template <int kD, int kBlock>
struct Layout {
  static constexpr int kThreads = 4 * kD;                // 32 elements each, or 16
  static constexpr int kLanes = kD / 16;                 // of a row
  static constexpr int kRowsAtOnce = kThreads / kLanes;  // 64
  static constexpr int kPasses = kBlock / kRowsAtOnce;
};

/// Adds and subtracts neighbours in place: log2(kD) levels; lane bits are 3 and up of the index.
template <int kD>
__device__ __forceinline__ void hadamard(float (&x)[16]) {
#pragma unroll
  for (int step = 1; step <= 8; step *= 2)
#pragma unroll
    for (int i = 0; i < 16; ++i)
      if ((i & step) == 0) {
        const float a = x[i], b = x[i + step];
        x[i] = a + b, x[i + step] = a - b;
      }
#pragma unroll
  for (int lanes = 1; lanes < kD / 16; lanes *= 2) {
    const bool upper = threadIdx.x & static_cast<unsigned>(lanes);
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const float other = __shfl_xor_sync(0xFFFFFFFF, x[i], lanes);
      x[i] = other + (upper ? -x[i] : x[i]);
    }
  }
}

/// Maximum of all threads.
template <int kWarps>
__device__ __forceinline__ float block_maximum(float x) {
  __shared__ float of_warp[kWarps];
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFF, x, lanes));
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
  __syncthreads();
  x = of_warp[threadIdx.x % kWarps];
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFF, x, lanes));
  return x;
}

__device__ __forceinline__ std::uint32_t pack4(const float* x, float factor) {
  const auto two = [&](int i) {
    return static_cast<std::uint32_t>(__nv_cvt_float2_to_fp8x2(
        make_float2(x[i] * factor, x[i + 1] * factor), __NV_SATFINITE, __NV_E4M3));
  };
  return two(0) | two(2) << 16;
}

/// kPart: both steps, only the maxima of the blocks, or only codes from the maxima of all blocks.
template <int kD, int kBlock, bool kTurned, Part kPart>
__global__ void __launch_bounds__(Layout<kD, kBlock>::kThreads)
    quantise(const QuantiseParams p, const Signs signs, float* maxima) {
  using L = Layout<kD, kBlock>;
  const int lane = static_cast<int>(threadIdx.x) % L::kLanes;
  const int row0 =
      static_cast<int>(blockIdx.x) * kBlock + static_cast<int>(threadIdx.x) / L::kLanes;
  const std::int64_t group = blockIdx.y;
  const std::int64_t first = (group * p.rows + row0) * kD + 8 * lane;

  float x[L::kPasses][16];
#pragma unroll
  for (int i = 0; i < L::kPasses; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      Floats8 v{};
      if (row0 + i * L::kRowsAtOnce < p.rows)
        v = load8(p.x + first + i * (L::kRowsAtOnce * kD) + half * (kD / 2));
#pragma unroll
      for (int e = 0; e < 8; ++e) x[i][8 * half + e] = v.x[e];
    }
  if constexpr (kTurned) {
    std::uint32_t flips = 0;  // of this thread's 16 elements
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int element = half * (kD / 2) + 8 * lane;
      flips |= (signs.words[element / 32] >> (element % 32) & 0xFF) << (8 * half);
    }
#pragma unroll
    for (int i = 0; i < L::kPasses; ++i) {
#pragma unroll
      for (int e = 0; e < 16; ++e)
        x[i][e] = __uint_as_float(__float_as_uint(x[i][e]) ^ (flips >> e << 31));
      hadamard<kD>(x[i]);
    }
  }

  float most = 0;
  if constexpr (kPart == Part::codes) {
    for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x)
      most = fmaxf(most, maxima[group * gridDim.x + i]);
  } else {
#pragma unroll
    for (int i = 0; i < L::kPasses; ++i)
#pragma unroll
      for (int e = 0; e < 16; ++e) most = fmaxf(most, fabsf(x[i][e]));
  }
  most = fmaxf(block_maximum<L::kThreads / 32>(most), kLeast);
  const std::int64_t at = group * gridDim.x + blockIdx.x;
  if constexpr (kPart == Part::maxima) {
    if (threadIdx.x == 0) maxima[at] = most;
    return;
  }
  // The rotation's 1 / sqrt(d) goes into the scale alone: codes do not feel it.
  constexpr float kNorm = !kTurned ? 1.f : kD == 128 ? 0.0883883476f : 0.0625f;
  if (threadIdx.x == 0 && (kPart == Part::all || blockIdx.x == 0))
    p.scales[kPart == Part::all ? at : group] = most * (kNorm / kLargest);
  const float factor = kLargest / most;
#pragma unroll
  for (int i = 0; i < L::kPasses; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      if (row0 + i * L::kRowsAtOnce < p.rows)
        *reinterpret_cast<uint2*>(p.codes + first + i * (L::kRowsAtOnce * kD) + half * (kD / 2)) =
            make_uint2(pack4(x[i] + 8 * half, factor), pack4(x[i] + 8 * half + 4, factor));
}

int blocks_of(const QuantiseParams& p) { return (p.rows + p.block - 1) / p.block; }

template <Part kPart>
void launch(const QuantiseParams& p, float* maxima, const Signs* signs, cudaStream_t stream) {
  const auto start = [&]<int kD, int kBlock, bool kTurned>() {
    const dim3 grid(static_cast<unsigned>(blocks_of(p)), static_cast<unsigned>(p.groups));
    quantise<kD, kBlock, kTurned, kPart><<<grid, Layout<kD, kBlock>::kThreads, 0, stream>>>(
        p, signs != nullptr ? *signs : Signs{}, maxima);
    CUDA_CHECK(cudaGetLastError());
  };
  const auto turned = [&]<int kD, int kBlock>() {
    if (signs != nullptr) start.template operator()<kD, kBlock, true>();
    else start.template operator()<kD, kBlock, false>();
  };
  if (p.d == 128 && p.block == 64) turned.template operator()<128, 64>();
  else if (p.d == 128 && p.block == 128) turned.template operator()<128, 128>();
  else if (p.d == 256 && p.block == 64) turned.template operator()<256, 64>();
  else if (p.d == 256 && p.block == 128) turned.template operator()<256, 128>();
  else throw std::invalid_argument("quantise: rows are 128 or 256 wide, blocks 64 or 128 rows");
}

}  // namespace

Signs random_signs(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Signs signs{};
  for (std::uint32_t& word : signs.words) word = static_cast<std::uint32_t>(random() >> 32);
  return signs;
}

void launch_quantise(const QuantiseParams& p, const Signs* signs, cudaStream_t stream) {
  launch<Part::all>(p, nullptr, signs, stream);
}

double quantise_xu_lanes(const QuantiseParams& p) {
  return 2. * p.groups * blocks_of(p) * 4 * p.d;  // every thread divides: a check, a reciprocal
}

void launch_quantise_whole(const QuantiseParams& p, float* maxima, const Signs* signs,
                           cudaStream_t stream) {
  launch<Part::maxima>(p, maxima, signs, stream);
  launch<Part::codes>(p, maxima, signs, stream);
}

namespace {

/// Row `row` of x, turned by the textbook matrix:
/// element j = sum_i (-1)^popcount(i & j) s_i x_i / sqrt(d).
std::vector<double> expected_row(const float* x, std::size_t d, const Signs* signs) {
  std::vector<double> out(x, x + d);
  if (signs == nullptr) return out;
  for (std::size_t j = 0; j < d; ++j) {
    out[j] = 0;
    for (std::size_t i = 0; i < d; ++i) {
      const bool flip = signs->words[i / 32] >> (i % 32) & 1;
      const bool minus = __builtin_parityll(i & j);
      out[j] += (flip != minus ? -1. : 1.) * x[i] / std::sqrt(static_cast<double>(d));
    }
  }
  return out;
}

/// One block: every code is the nearest E4M3 number, off by at most 1/16 of itself or half of the
/// least subnormal, 2^-10, and the largest is 448. Sums in fp32 may carry a value over an edge.
constexpr double kHalfStep = 1. / 16;
Verdict check_block(const QuantiseParams& p, std::int64_t row0, int rows,
                    const std::vector<float>& values, const std::vector<float>& codes, double scale,
                    const Signs* signs) {
  constexpr double kRounding = 1e-4;  // of scores up to 448
  Verdict verdict{.ok = true, .tolerance = kHalfStep};
  double most = 0;
  for (std::int64_t r = row0; r < row0 + rows; ++r) {
    const auto at = static_cast<std::size_t>(r * p.d);
    const std::vector<double> row = expected_row(&values[at], static_cast<std::size_t>(p.d), signs);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double wanted = row[i] / scale, error = std::abs(double{codes[at + i]} - wanted);
      const double size = std::max(std::abs(wanted), 0x1p-6);
      verdict.relative_error = std::max(verdict.relative_error, error / size);
      if (!(error <= size * kHalfStep + kRounding)) {
        verdict.ok = false;
        verdict.detail = "element " + std::to_string(at + i) + " is " +
                         std::to_string(codes[at + i]) + ", not " + std::to_string(wanted);
      }
      most = std::max(most, std::abs(wanted));
    }
  }
  if (!(std::abs(most - double{kLargest}) <= 1e-2)) {
    verdict.ok = false;
    verdict.detail = "the largest code of a block would be " + std::to_string(most);
  }
  return verdict;
}

Case make(const Args& args) {
  const auto n = [&](const char* name, int fallback) {
    return static_cast<int>(arg(args, name, fallback));
  };
  const int groups = n("groups", 16), rows = n("rows", 16384), d = n("d", 128);
  const int block = n("block", 128), blocks = (rows + block - 1) / block;
  const bool turned = arg(args, "incoherent", 0) != 0;
  const auto elements = static_cast<std::size_t>(groups) * static_cast<std::size_t>(rows) *
                        static_cast<std::size_t>(d);
  const Buffer x(2 * elements), codes(elements);
  const Buffer scales(static_cast<std::size_t>(groups) * static_cast<std::size_t>(blocks) * 4);
  fill_random(x, Dtype::bf16);
  const QuantiseParams p{
      x.as<__nv_bfloat16>(), codes.as<std::uint8_t>(), scales.as<float>(), groups, rows, d, block};
  const Signs signs = random_signs(fresh_seed());
  const auto launch = [=, keep = std::vector{x, codes, scales}](cudaStream_t stream) {
    launch_quantise(p, turned ? &signs : nullptr, stream);
  };
  const auto verify = [=] {
    fill_random(x, Dtype::bf16);
    poison(codes), poison(scales);
    launch(nullptr);
    const std::vector<float> values = to_floats(x, Dtype::bf16), out = to_floats(codes, Dtype::fp8);
    const std::vector<float> scale = to_floats(scales, Dtype::fp32);
    Verdict verdict{.ok = true, .tolerance = kHalfStep};
    const int all = groups * blocks;
    for (int i = 0; i < all; i += std::max(1, all / 64)) {
      const std::int64_t row0 = std::int64_t{i / blocks} * rows + i % blocks * block;
      const Verdict one =
          check_block(p, row0, std::min(block, rows - i % blocks * block), values, out,
                      scale[static_cast<std::size_t>(i)], turned ? &signs : nullptr);
      verdict.relative_error = std::max(verdict.relative_error, one.relative_error);
      if (!one.ok) verdict.ok = false, verdict.detail = one.detail;
    }
    return verdict;
  };
  Work work = elementwise::quantise(
      1. * groups * rows, d, ElementSize{2}, ElementSize{1},
      {.rows_per_scale = 1. * block, .groups = 1. * groups, .incoherent = turned});
  work.exps = quantise_xu_lanes(p);
  const auto op = [](const Work& w) {
    return Op{.name = "quantise", .op_class = OpClass::elementwise, .work = w};
  };
  // A thread block holds its rows from the maximum to the codes, one or two blocks to an SM: loads
  // and stores wait for what is computed in between.
  Work moved = work, computed;
  std::swap(moved.fp32, computed.fp32), std::swap(moved.smem, computed.smem);
  std::swap(moved.exps, computed.exps);
  return {.name = "quantise groups" + std::to_string(groups) + " rows" + std::to_string(rows) +
                  " d" + std::to_string(d) + " block" + std::to_string(block) +
                  (turned ? " incoherent" : ""),
          .op = op(work),
          .launch = launch,
          .verify = verify,
          .stages = {op(moved), op(computed)}};
}

}  // namespace

Entry quantise_entry() {
  std::vector<Args> shapes;
  for (const double d : {128., 256.})
    for (const double rows : {2048., 16384.})
      for (const double incoherent : {0., 1.})
        shapes.push_back(
            {{"groups", 2048 / d}, {"rows", rows}, {"d", d}, {"incoherent", incoherent}});
  return {.name = "quantise",
          .title = "bf16 to E4M3 with block scales, plain or rotated",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
