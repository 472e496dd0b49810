// RMSNorm, alone or fused with the residual add before it.            model: model/elementwise.cpp
//   s = x + r      y = s / sqrt(mean(s²) + epsilon) · w       x, r, s, y [tokens, d]   w [d]   bf16
// A block takes a row. It stays in the block's registers between the sum of squares and the scaling,
// as the bf16 it was read as, so it is read once and rows of 16384 leave room for two blocks an SM:
// while one waits for its loads and its barrier, others load. Blocks that walk over rows reach 7 %
// less of HBM's rate. The blocks of an SM find the weights in its L1.
//   HBM fused   read x, r, w    written s, y         unfused   + s read again by the second kernel
// arXiv:1910.07467 eq. 4.
#include <algorithm>
#include <stdexcept>

#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/device.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/entries.hpp"
#include "kernels/elementwise/vector.cuh"
#include "kernels/reference.hpp"
#include "model/elementwise.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kMaxThreads = 1024;

/// A row's columns over the threads of its block: `chunks` times eight a thread.
struct RowLayout {
  int chunks, threads;
};

/// Two chunks a thread keep more loads under way. Where SMs are left without a row, nothing is to be
/// saved, and twice the threads have less to do each.
RowLayout layout_of(int tokens, int d) {
  if (d % 8 != 0 || d < 8 || d > 2 * 8 * kMaxThreads)
    throw std::invalid_argument("rms_norm: d must be a multiple of 8, at most 16384");
  const int chunks = d > 8 * kMaxThreads || tokens > gpu().num_sms ? 2 : 1;
  const int columns = 8 * chunks, threads = (d + columns - 1) / columns;
  return {chunks, (threads + 31) / 32 * 32};
}

__device__ float block_sum(float x) {
  __shared__ float partial[kMaxThreads / 32];
#pragma unroll
  for (int i = 16; i > 0; i /= 2) x += __shfl_xor_sync(~0u, x, i);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  x = 0;
  for (unsigned w = 0; w < blockDim.x / 32; ++w) x += partial[w];
  return x;
}

/// Thread t of a block owns the chunks t, t + blockDim, ... of eight columns: kChunks at most.
template <int kThreads, int kChunks, bool kResidual>
__global__ __launch_bounds__(kThreads, kThreads == kMaxThreads ? 2 : 1)  //
    void rms_norm(const RmsNormParams p) {
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * p.d;
  const auto column = [&](int c) { return 8 * static_cast<int>(threadIdx.x + c * blockDim.x); };
  uint4 s[kChunks], r[kResidual ? kChunks : 1];
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    if (column(c) >= p.d) continue;
    s[c] = stream8(p.x + first + column(c));
    if constexpr (kResidual) r[c] = stream8(p.residual + first + column(c));
  }
  float squares = 0;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    if (column(c) >= p.d) continue;
    Floats8 x = unpack8(s[c]);
    if constexpr (kResidual) {
      const Floats8 y = unpack8(r[c]);
#pragma unroll
      for (int i = 0; i < 8; ++i) x.x[i] += y.x[i];
      s[c] = pack8(x);
      store8(p.sum + first + column(c), s[c]);
      x = unpack8(s[c]);
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) squares += x.x[i] * x.x[i];
  }
  const float inverse = rsqrtf(block_sum(squares) / static_cast<float>(p.d) + p.epsilon);
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    if (column(c) >= p.d) continue;
    const Floats8 w = unpack8(*reinterpret_cast<const uint4*>(p.weight + column(c)));
    Floats8 x = unpack8(s[c]);
#pragma unroll
    for (int i = 0; i < 8; ++i) x.x[i] *= inverse * w.x[i];
    store8(p.y + first + column(c), x);
  }
}

/// f.operator()<kernel>() for the one that takes rows of this layout.
template <class F>
void with_kernel(const RowLayout& row, bool residual, const F& f) {
  const auto of = [&]<int kThreads, int kChunks>() {
    if (residual) f(rms_norm<kThreads, kChunks, true>);
    else f(rms_norm<kThreads, kChunks, false>);
  };
  const bool many = row.threads > kMaxThreads / 2;
  if (row.chunks == 1)
    many ? of.template operator()<kMaxThreads, 1>() : of.template operator()<kMaxThreads / 2, 1>();
  else
    many ? of.template operator()<kMaxThreads, 2>() : of.template operator()<kMaxThreads / 2, 2>();
}

__global__ void residual_add(const RmsNormParams p) {
  const std::int64_t i = 8 * (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  if (i >= static_cast<std::int64_t>(p.tokens) * p.d) return;
  Floats8 s = load8(p.x + i);
  const Floats8 r = load8(p.residual + i);
#pragma unroll
  for (int c = 0; c < 8; ++c) s.x[c] += r.x[c];
  store8(p.sum + i, s);
}

Case make(const Args& args) {
  const auto tokens = static_cast<std::size_t>(arg(args, "tokens", 16));
  const auto d = static_cast<std::size_t>(arg(args, "d", 4096));
  const bool residual = arg(args, "residual", 1) != 0, fused = arg(args, "fused", 1) != 0;
  const auto sigma = static_cast<float>(arg(args, "sigma", 1));
  const Buffer x(tokens * d * 2), r(residual ? tokens * d * 2 : 0), w(d * 2);
  const Buffer sum(residual ? tokens * d * 2 : 0), y(tokens * d * 2);
  const auto fill = [=] {
    fill_random(x, Dtype::bf16, sigma), fill_random(w, Dtype::bf16);
    if (residual) fill_random(r, Dtype::bf16, sigma);
  };
  fill();
  RmsNormParams p{x.as<bf16>(),        r.as<bf16>(), w.as<bf16>(),
                  sum.as<bf16>(),      y.as<bf16>(), static_cast<int>(tokens),
                  static_cast<int>(d), 1e-5f};
  const auto launch = [=, keep = std::vector{x, r, w, sum, y}](cudaStream_t stream) {
    if (!residual || fused) return launch_rms_norm(p, stream);
    launch_residual_add(p, stream);
    RmsNormParams norm = p;
    norm.x = p.sum, norm.residual = nullptr;
    launch_rms_norm(norm, stream);
  };
  const auto verify = [=] {
    fill();
    poison(y);
    if (residual) poison(sum);
    launch(nullptr);
    std::vector<float> xs = to_floats(x, Dtype::bf16);
    const std::vector<float> ws = to_floats(w, Dtype::bf16);
    if (residual) {
      const std::vector<float> rs = to_floats(r, Dtype::bf16);
      std::vector<double> expected(xs.size());
      for (std::size_t i = 0; i < xs.size(); ++i) expected[i] = double{xs[i]} + rs[i];
      const std::vector<float> sums = to_floats(sum, Dtype::bf16);
      if (const Verdict v = compare(expected, sums, 4e-3); !v.ok) return v;
      xs = sums;  // the norm is of what stands in memory
    }
    return compare(reference::rms_norm(xs, ws, p.epsilon), to_floats(y, Dtype::bf16), 4e-3);
  };
  const auto t = static_cast<double>(tokens), columns = static_cast<double>(d);
  const double loads = rms_norm_weight_loads(p.tokens);
  Work work = residual ? elementwise::residual_norm(t, columns, ElementSize{2}, false, fused, loads)
                       : elementwise::norm(t, columns, ElementSize{2}, false, loads);
  work.exps = rms_norm_xu_lanes(p.tokens, p.d);
  work.ctas = t;
  const bool two = residual && !fused;
  return {.name = std::string(residual ? fused ? "residual_rms_norm fused"
                                               : "residual_rms_norm "
                                                 "unfused"
                                       : "rms_norm") +
                  " tokens" + std::to_string(tokens) + " d" + std::to_string(d),
          .op = {.name = "rms_norm",
                 .op_class = OpClass::elementwise,
                 .work = work,
                 .execution = {.ctas_per_sm = rms_norm_grid(p.tokens, p.d).per_sm},
                 .handed_over =
                     two ? kept_on_chip(Bytes{2 * t * columns}, Bytes{2 * t * columns}) : Bytes{}},
          .launch = launch,
          .verify = verify,
          .kernels_per_launch = two ? 2 : 1};
}

}  // namespace

Grid rms_norm_grid(int tokens, int d) { return grid_of(tokens, layout_of(tokens, d).threads); }

double rms_norm_weight_loads(int tokens) { return std::min(tokens, gpu().num_sms); }

double rms_norm_xu_lanes(int tokens, int d) {
  return 3. * tokens * layout_of(tokens, d).threads;  // reciprocal and range check, rsqrt
}

void launch_rms_norm(const RmsNormParams& p, cudaStream_t stream) {
  const RowLayout row = layout_of(p.tokens, p.d);
  with_kernel(row, p.residual != nullptr, [&](const auto& kernel) {
    kernel<<<static_cast<unsigned>(p.tokens), row.threads, 0, stream>>>(p);
  });
  CUDA_CHECK(cudaGetLastError());
}

void launch_residual_add(const RmsNormParams& p, cudaStream_t stream) {
  const std::int64_t chunks = static_cast<std::int64_t>(p.tokens) * p.d / 8;
  residual_add<<<static_cast<unsigned>((chunks + 255) / 256), 256, 0, stream>>>(p);
  CUDA_CHECK(cudaGetLastError());
}

Entry rms_norm_entry() {
  std::vector<Args> shapes;
  for (const double tokens : {16., 1024., 16384.})
    for (const double d : {4096., 8192.})
      for (const double fused : {1., 0.})
        shapes.push_back({{"tokens", tokens}, {"d", d}, {"fused", fused}});
  for (const double tokens : {64., 8192.})
    shapes.push_back({{"tokens", tokens}, {"d", 16384}, {"residual", 0}});
  return {.name = "rms_norm",
          .title = "RMSNorm, alone or after a residual add, fused or not",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
