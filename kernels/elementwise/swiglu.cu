// SwiGLU, fused or as two kernels.                                     model: model/elementwise.cpp
//   y = silu(gate)·up = gate / (1 + e^-gate)·up       gate_up [tokens, 2·d_ff]   y [tokens, d_ff]
// Per element one exponential and one reciprocal, both on the XU pipe.
//   HBM fused   read gate, up    written y      unfused   + silu(gate) written and read
// arXiv:2002.05202.
#include <cmath>
#include <stdexcept>

#include "kernels/check.hpp"
#include "kernels/data.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/entries.hpp"
#include "kernels/elementwise/vector.cuh"
#include "kernels/reference.hpp"
#include "model/elementwise.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kThreads = 256;

enum class Part { silu, times_up, both };

template <Part kPart>
__global__ __launch_bounds__(kThreads) void swiglu(const SwigluParams p) {
  const int column = 8 * static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (column >= p.d_ff) return;
  const std::int64_t row = blockIdx.y;
  const bf16* gate_up = p.gate_up + row * 2 * p.d_ff + column;
  const std::int64_t at = row * p.d_ff + column;

  Floats8 y = load8(kPart == Part::times_up ? p.silu + at : gate_up);
  if constexpr (kPart != Part::times_up) {
#pragma unroll
    for (int i = 0; i < 8; ++i)
      y.x[i] = __fdividef(y.x[i], 1 + exp2_approx(y.x[i] * -1.4426950408889634f));
  }
  if constexpr (kPart != Part::silu) {
    const Floats8 up = load8(gate_up + p.d_ff);
#pragma unroll
    for (int i = 0; i < 8; ++i) y.x[i] *= up.x[i];
  }
  store8((kPart == Part::silu ? p.silu : p.y) + at, y);
}

template <Part kPart>
void launch_part(const SwigluParams& p, cudaStream_t stream) {
  if (p.d_ff % 8 != 0) throw std::invalid_argument("swiglu: d_ff must be a multiple of 8");
  const dim3 grid((p.d_ff / 8 + kThreads - 1) / kThreads, p.tokens);
  swiglu<kPart><<<grid, kThreads, 0, stream>>>(p);
  CUDA_CHECK(cudaGetLastError());
}

/// Unfused, silu(gate) is rounded to bf16 on its way.
std::vector<double> expected(const std::vector<float>& gate, const std::vector<float>& up,
                             bool fused) {
  if (fused) return reference::swiglu(gate, up);
  std::vector<double> y = reference::swiglu(gate, std::vector<float>(gate.size(), 1.f));
  for (std::size_t i = 0; i < y.size(); ++i)
    y[i] = double{__bfloat162float(__double2bfloat16(y[i]))} * up[i];
  return y;
}

Case make(const Args& args) {
  const auto tokens = static_cast<std::size_t>(arg(args, "tokens", 16));
  const auto d_ff = static_cast<std::size_t>(arg(args, "d_ff", 14336));
  const bool fused = arg(args, "fused", 1) != 0;
  const auto sigma = static_cast<float>(arg(args, "sigma", 1));
  const Buffer gate_up(tokens * 2 * d_ff * 2), y(tokens * d_ff * 2);
  const Buffer silu(fused ? 0 : tokens * d_ff * 2);
  fill_random(gate_up, Dtype::bf16, sigma);
  const SwigluParams p{gate_up.as<bf16>(), silu.as<bf16>(), y.as<bf16>(), static_cast<int>(tokens),
                       static_cast<int>(d_ff)};
  const auto launch = [=, keep = std::vector{gate_up, y, silu}](cudaStream_t stream) {
    fused ? launch_swiglu(p, stream) : launch_swiglu_unfused(p, stream);
  };
  const auto verify = [=] {
    fill_random(gate_up, Dtype::bf16, sigma);
    poison(y);
    launch(nullptr);
    const std::vector<float> both = to_floats(gate_up, Dtype::bf16);
    std::vector<float> gate, up;
    for (std::size_t t = 0; t < tokens; ++t) {
      const auto row = both.begin() + static_cast<std::ptrdiff_t>(t * 2 * d_ff);
      const auto middle = row + static_cast<std::ptrdiff_t>(d_ff);
      gate.insert(gate.end(), row, middle);
      up.insert(up.end(), middle, middle + static_cast<std::ptrdiff_t>(d_ff));
    }
    return compare(expected(gate, up, fused), to_floats(y, Dtype::bf16), 4e-3);
  };
  const auto t = static_cast<double>(tokens), columns = static_cast<double>(d_ff);
  const Grid grid = swiglu_grid(p.tokens, p.d_ff);
  return {
      .name = std::string("swiglu ") + (fused ? "fused" : "unfused") + " tokens" +
              std::to_string(tokens) + " d_ff" + std::to_string(d_ff),
      .op = {.name = "swiglu",
             .op_class = OpClass::elementwise,
             .work = elementwise::activation(t, columns, ElementSize{2}, true, fused, grid.blocks),
             .execution = {.ctas_per_sm = grid.per_sm},
             .handed_over =
                 fused ? Bytes{} : kept_on_chip(Bytes{2 * t * columns}, Bytes{2 * t * columns})},
      .launch = launch,
      .verify = verify,
      .kernels_per_launch = fused ? 1 : 2};
}

}  // namespace

Grid swiglu_grid(int tokens, int d_ff) {
  return grid_of(1. * tokens * ((d_ff / 8 + kThreads - 1) / kThreads), kThreads);
}

void launch_swiglu(const SwigluParams& p, cudaStream_t stream) {
  launch_part<Part::both>(p, stream);
}
void launch_swiglu_unfused(const SwigluParams& p, cudaStream_t stream) {
  launch_part<Part::silu>(p, stream);
  launch_part<Part::times_up>(p, stream);
}

Entry swiglu_entry() {
  std::vector<Args> shapes;
  for (const double tokens : {16., 512., 8192.})
    for (const double d_ff : {14336., 28672.})
      for (const double fused : {1., 0.})
        shapes.push_back({{"tokens", tokens}, {"d_ff", d_ff}, {"fused", fused}});
  return {.name = "swiglu", .title = "silu(gate)·up, fused or not", .shapes = shapes, .make = make};
}

}  // namespace kvroof::kernels
