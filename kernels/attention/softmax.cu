// Standalone softmax over rows of scores, safe and online.     model: model/attention/softmax.cpp
//   y[r, c] = exp(x[r, c] - max_r) / sum_c exp(x[r, c] - max_r)     x, y [rows, columns]  bf16
// One block per row; a row is walked from memory again for every pass, as rows too long for
// registers must be. A row without a finite score yields zeros: an attention row that sees no key.
//   safe     max | sum of exponentials | scale      3 walks, 2 exponentials an element
//   online   max and sum together | scale           2 walks; every vector of kWidth elements may
//            raise the maximum, which costs one exponential more (arXiv:1805.02867, Alg. 3)
//   HBM read   x once, while the rows at work fit in L2      written   y
//   L2 to SM   x once a walk: the loads pass L1 by
#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <stdexcept>

#include "kernels/attention/entries.hpp"
#include "kernels/attention_case.hpp"
#include "kernels/check.hpp"
#include "kernels/mma.cuh"
#include "kernels/split_kv.hpp"
#include "model/attention/softmax.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kThreadsPerSm = 1024;

struct SoftmaxParams {
  const bf16* x;
  bf16* y;
  int columns;
};

/// kWidth neighbouring elements; a multiple of kWidth divides the row.
template <int kWidth>
struct alignas(2 * kWidth) Vector {
  std::uint16_t bits[kWidth];
};

/// f(column, values) for this thread's vectors of the row, loaded past L1.
template <int kThreads, int kWidth, class F>
__device__ __forceinline__ void walk(const bf16* row, int columns, const F& f) {
  using Word = std::conditional_t<kWidth == 8, uint4,
                                  std::conditional_t<kWidth == 2, unsigned, unsigned short>>;
#pragma unroll 4
  for (int c = threadIdx.x * kWidth; c < columns; c += kThreads * kWidth) {
    const Word word = __ldcg(reinterpret_cast<const Word*>(row + c));
    const auto& vector = reinterpret_cast<const Vector<kWidth>&>(word);
    float v[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) v[i] = __uint_as_float(std::uint32_t{vector.bits[i]} << 16);
    f(c, v);
  }
}

template <int kThreads, class Op>
__device__ __forceinline__ float block_reduce(float x, float (&shared)[kThreads / 32],
                                              const Op& op) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x = op(x, __shfl_xor_sync(~0u, x, lanes));
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
  __syncthreads();
  x = shared[0];
#pragma unroll
  for (int w = 1; w < kThreads / 32; ++w) x = op(x, shared[w]);
  return x;
}

/// The exponent's argument is taken from the difference,
/// so that scores of any size cannot overflow.
__device__ __forceinline__ float exp_of(float difference) {
  return exp2_approx(difference * kLog2e);
}
/// What to subtract: a maximum of -inf would turn -inf - -inf into NaN.
__device__ __forceinline__ float finite(float max) { return max == -INFINITY ? 0.f : max; }

template <int kThreads, int kWidth, bool kOnline>
__global__ __launch_bounds__(kThreads,
                             kThreadsPerSm / kThreads) void softmax_rows(const SoftmaxParams p) {
  __shared__ float maxima[kThreads / 32], sums[kThreads / 32];
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * p.columns;
  const bf16* x = p.x + first;
  const auto larger = [](float a, float b) { return fmaxf(a, b); };
  const auto plus = [](float a, float b) { return a + b; };

  float max = -INFINITY, sum = 0, shift;
  if constexpr (kOnline) {
    walk<kThreads, kWidth>(x, p.columns, [&](int, const float(&v)[kWidth]) {
      float raised = max;
#pragma unroll
      for (const float e : v) raised = fmaxf(raised, e);
      const float base = finite(raised);
      sum *= exp_of(max - base);
#pragma unroll
      for (const float e : v) sum += exp_of(e - base);
      max = raised;
    });
    const float own = max;
    max = block_reduce<kThreads>(own, maxima, larger);
    shift = finite(max);
    sum *= exp_of(own - shift);
  } else {
    walk<kThreads, kWidth>(x, p.columns, [&](int, const float(&v)[kWidth]) {
#pragma unroll
      for (const float e : v) max = fmaxf(max, e);
    });
    max = block_reduce<kThreads>(max, maxima, larger);
    shift = finite(max);
    walk<kThreads, kWidth>(x, p.columns, [&](int, const float(&v)[kWidth]) {
#pragma unroll
      for (const float e : v) sum += exp_of(e - shift);
    });
  }
  sum = block_reduce<kThreads>(sum, sums, plus);
  const float inverse = sum > 0 ? reciprocal_approx(sum) : 0.f;

  bf16* y = p.y + first;
  walk<kThreads, kWidth>(x, p.columns, [&](int c, const float(&v)[kWidth]) {
    alignas(16) bf16 out[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) out[i] = __float2bfloat16(exp_of(v[i] - shift) * inverse);
    *reinterpret_cast<Vector<kWidth>*>(y + c) = *reinterpret_cast<const Vector<kWidth>*>(out);
  });
}

/// Elements per load: 16 bytes where rows start on 16-byte boundaries.
int width_of(int columns) { return columns % 8 == 0 ? 8 : columns % 2 == 0 ? 2 : 1; }

/// Threads of a row: more for long rows, so that fewer rows are at work and more
/// of each is in flight.
int threads_of(int columns) { return columns < 16384 ? 128 : 512; }

void launch_softmax(const SoftmaxParams& p, int rows, bool online, cudaStream_t stream) {
  const auto run = [&]<int kThreads, int kWidth>() {
    if (online) softmax_rows<kThreads, kWidth, true><<<rows, kThreads, 0, stream>>>(p);
    else softmax_rows<kThreads, kWidth, false><<<rows, kThreads, 0, stream>>>(p);
  };
  const auto with_threads = [&]<int kWidth>() {
    if (threads_of(p.columns) == 128) run.template operator()<128, kWidth>();
    else run.template operator()<512, kWidth>();
  };
  const int width = width_of(p.columns);
  if (width == 8) with_threads.operator()<8>();
  else if (width == 2) with_threads.operator()<2>();
  else with_threads.operator()<1>();
  CUDA_CHECK(cudaGetLastError());
}

/// All rows of a small matrix, 64 rows spread over a large one.
std::vector<std::int64_t> rows_to_check(std::int64_t rows, std::int64_t columns) {
  const std::int64_t count = rows * columns <= 1 << 21 ? rows : std::min<std::int64_t>(rows, 64);
  std::vector<std::int64_t> some;
  for (std::int64_t i = 0; i < count; ++i) some.push_back(i * rows / count);
  return some;
}

/// Fresh scores, a share `hidden` of them -inf and every 16th checked row hidden altogether.
Verdict verify_softmax(const Buffer& x, const Buffer& y, std::int64_t rows, std::int64_t columns,
                       float sigma, double hidden,
                       const std::function<void(cudaStream_t)>& launch) {
  fill_random(x, Dtype::bf16, sigma);
  poison(y);
  const std::vector<std::int64_t> checked = rows_to_check(rows, columns);
  const auto n = static_cast<std::size_t>(columns);
  const std::size_t row_bytes = 2 * n;
  const auto row_of = [&](const Buffer& b, std::size_t i) {
    return b.as<std::uint16_t>() + checked[i] * columns;
  };
  std::mt19937_64 random(fresh_seed());
  std::vector<std::uint16_t> bits(n);
  std::vector<float> in(checked.size() * n), out(in.size());
  const auto value = [](std::uint16_t b) { return std::bit_cast<float>(std::uint32_t{b} << 16); };
  for (std::size_t i = 0; i < checked.size(); ++i) {
    CUDA_CHECK(cudaMemcpy(bits.data(), row_of(x, i), row_bytes, cudaMemcpyDeviceToHost));
    const double share = hidden > 0 && i % 16 == 15 ? 1 : hidden;
    for (std::uint16_t& b : bits)
      if (static_cast<double>(random() % 4096) < 4096 * share) b = 0xff80;  // -inf
    CUDA_CHECK(cudaMemcpy(row_of(x, i), bits.data(), row_bytes, cudaMemcpyHostToDevice));
    std::transform(bits.begin(), bits.end(), in.begin() + std::ptrdiff_t(i * n), value);
  }
  launch(nullptr);
  CUDA_CHECK(cudaDeviceSynchronize());
  for (std::size_t i = 0; i < checked.size(); ++i) {
    CUDA_CHECK(cudaMemcpy(bits.data(), row_of(y, i), row_bytes, cudaMemcpyDeviceToHost));
    std::transform(bits.begin(), bits.end(), out.begin() + std::ptrdiff_t(i * n), value);
  }
  std::vector<double> expected = reference::softmax(in, columns);
  for (std::size_t i = 0; i < checked.size(); ++i) {
    const auto begin = in.begin() + std::ptrdiff_t(i * n);
    if (std::all_of(begin, begin + columns, [](float e) { return std::isinf(e); }))
      std::fill_n(expected.begin() + std::ptrdiff_t(i * n), n, 0.0);
  }
  return compare(expected, out, 1e-2);
}

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  const bool online = arg(args, "online", 1) != 0;
  const auto rows = static_cast<std::int64_t>(x.b * x.h_q * x.s_q);
  const auto columns = static_cast<std::int64_t>(x.s_kv);
  const Buffer in(static_cast<std::size_t>(2 * rows * columns)), out(in.bytes());
  fill_random(in, Dtype::bf16);
  const SoftmaxParams p{in.as<bf16>(), out.as<bf16>(), static_cast<int>(columns)};
  const auto launch = [=](cudaStream_t stream) {
    static_cast<void>(in), static_cast<void>(out);
    launch_softmax(p, static_cast<int>(rows), online, stream);
  };
  const int threads = threads_of(p.columns);
  const attention::Tile tile{.m = 1,
                             .n = width_of(p.columns),
                             .ctas_per_sm = kThreadsPerSm / threads,
                             .row_lanes = threads};
  const attention::Cost cost =
      attention::softmax(x, {}, on_chip(), {.tile = tile, .online = online});
  const auto sigma = static_cast<float>(arg(args, "sigma", 1));
  const double hidden = arg(args, "hidden", 0);
  return {.name = std::string("softmax ") + (online ? "online" : "safe") + " rows" +
                  std::to_string(rows) + " columns" + std::to_string(columns),
          .op = {.name = "softmax",
                 .op_class = OpClass::elementwise,
                 .work = cost.work,
                 .execution = cost.execution},
          .launch = launch,
          .verify = [=] { return verify_softmax(in, out, rows, columns, sigma, hidden, launch); }};
}

}  // namespace

Entry softmax_entry() {
  std::vector<Args> shapes;
  for (const double online : {0., 1.}) {
    const auto add = [&](double heads, double s_q, double s_kv) {
      shapes.push_back({{"h_q", heads}, {"s_q", s_q}, {"s_kv", s_kv}, {"online", online}});
    };
    add(8, 512, 512);      // 4 MB: stays in L2
    add(16, 1024, 1024);   // 34 MB
    add(32, 2048, 2048);   // 268 MB
    add(16, 4096, 4096);   // 537 MB
    add(8, 8192, 8192);    // 1.1 GB, 35 MB of rows and results at work
    add(1, 16384, 16384);  // 17 MB at work, on 264 rows
    add(1, 8192, 32768);   // 35 MB at work
    add(1, 4096, 65536);   // 69 MB at work: walked from HBM every time
    add(1, 256, 152064);   // logits of a batch: few, long rows
  }
  return {.name = "softmax",
          .title = "standalone softmax: safe (3 reads of a row) and online (2)",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
