// Backward pass of naive attention: P kept from the forward pass, five kernels.
//                                                              model: model/attention/naive.cpp
//   dV = P^T·dO     dP = dO·V^T     dS = scale · P ∘ (dP - rowsum(P ∘ dP))     dQ = dS·K
//   dK = dS^T·Q          P, dP, dS [b·h_q, s_q, s_kv] bf16; dS takes the place of dP
// What flash_backward is measured against.
//   HBM   P twice, dP written and read, dS written and read twice: 7·b·h_q·s_q·s_kv·2 bytes
#include <stdexcept>

#include "kernels/attention/entries.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/backward_case.hpp"
#include "kernels/check.hpp"
#include "kernels/naive_products.cuh"
#include "kernels/split_kv.hpp"
#include "model/attention/naive.hpp"

namespace kvroof::kernels {
namespace {

template <int kD>
struct GradientSmem {
  SharedTile<64, 64> x[2];  // queries by keys
  SharedTile<64, kD> rows[2];
};

/// out [b·h_kv, s_kv, kD] = sum over the heads of a group of s^T·rows; p.s [b·h_q, s_q, columns],
/// rows [b·h_q, s_q, kD]. One block per 64 keys; the next 64 queries are copied meanwhile.
template <int kD>
__global__ __launch_bounds__(128) void transposed_product(const NaiveParams p, const bf16* rows,
                                                          bf16* out) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<GradientSmem<kD>*>(shared);
  const int key = blockIdx.x * 64, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int tiles = (p.s_q + 63) / 64, steps = p.group * tiles;
  const std::int64_t kv_matrix = blockIdx.y;
  const auto load = [&](int i) {
    const int query = i % tiles * 64, chunk = threadIdx.x % 8;
    const std::int64_t first = (kv_matrix * p.group + i / tiles) * p.s_q + query;
#pragma unroll
    for (int r = threadIdx.x / 8; r < 64; r += 16) {
      const bool in = query + r < p.s_q && key + 8 * chunk < p.columns;
      copy_async(smem.x[i % 2].address(r, chunk),
                 in ? p.s + (first + r) * p.columns + key + 8 * chunk : p.s, in);
    }
    load_rows<128>(smem.rows[i % 2], p.s_q - query, threadIdx.x,
                   [&](int r) { return rows + (first + r) * kD; });
    commit_copies();
  };

  float acc[kD / 8][4] = {};
  load(0);
  for (int i = 0; i < steps; ++i) {
    wait_copies<0>();
    __syncthreads();
    if (i + 1 < steps) load(i + 1);
    const FragmentCursor x(smem.x[i % 2], (lane & 7) + ((lane >> 4) << 3),
                           ((lane >> 3) & 1) + 2 * warp);
    const auto y = a_cursor(smem.rows[i % 2], 0, lane);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      std::uint32_t a[4];
      load_matrices_transposed(a, x.at(n, 0));
#pragma unroll
      for (int c = 0; c < kD / 16; ++c) {
        std::uint32_t b[4];
        load_matrices_transposed(b, y.at(n, c));
        mma(acc[2 * c], a, b[0], b[1]);
        mma(acc[2 * c + 1], a, b[2], b[3]);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = key + 16 * warp + 8 * half + lane / 4;
    if (r >= p.s_kv) continue;
    bf16* to = out + (kv_matrix * p.s_kv + r) * kD + 2 * (lane % 4);
#pragma unroll
    for (int t = 0; t < kD / 8; ++t)
      *reinterpret_cast<std::uint32_t*>(to + 8 * t) =
          pack_bf16(acc[t][2 * half], acc[t][2 * half + 1]);
  }
}

/// dS of one row in the place of dP. Both rows stay in shared memory between the sum
/// and the result.
__global__ __launch_bounds__(256) void row_gradient(const bf16* p, bf16* dp, int columns,
                                                    float scale) {
  extern __shared__ __align__(1024) unsigned char shared[];
  uint4 *kept_p = reinterpret_cast<uint4*>(shared), *kept_dp = kept_p + columns / 8;
  const std::int64_t row = std::int64_t{blockIdx.x} * (columns / 8);
  float sum = 0;
  for (int i = threadIdx.x; i < columns / 8; i += 256) {
    const uint4 xs = kept_p[i] = reinterpret_cast<const uint4*>(p)[row + i];
    const uint4 ys = kept_dp[i] = reinterpret_cast<const uint4*>(dp)[row + i];
    const bf16 *x = reinterpret_cast<const bf16*>(&xs), *y = reinterpret_cast<const bf16*>(&ys);
    for (int e = 0; e < 8; ++e) sum += __bfloat162float(x[e]) * __bfloat162float(y[e]);
  }
  sum = block_reduce(sum, true);
  for (int i = threadIdx.x; i < columns / 8; i += 256) {
    uint4 result = kept_dp[i];
    const uint4 xs = kept_p[i];
    const bf16* x = reinterpret_cast<const bf16*>(&xs);
    bf16* y = reinterpret_cast<bf16*>(&result);
    for (int e = 0; e < 8; ++e)
      y[e] = __float2bfloat16(scale * __bfloat162float(x[e]) * (__bfloat162float(y[e]) - sum));
    reinterpret_cast<uint4*>(dp)[row + i] = result;
  }
}

struct Gradients {
  const bf16* d_o;
  bf16 *dp, *dq, *dk, *dv;
};

template <int kD>
void launch_gradients(const NaiveParams& p, const Gradients& g, int kv_matrices,
                      cudaStream_t stream) {
  const int matrices = kv_matrices * p.group, row_bytes = 4 * p.columns;
  const auto allow = [](auto* kernel, int bytes) {
    CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  };
  allow(transposed_product<kD>, sizeof(GradientSmem<kD>));
  allow(score_product<kD>, sizeof(ScoreSmem<kD>));
  allow(output_product<kD>, sizeof(OutputSmem<kD>));
  allow(row_gradient, row_bytes);

  const dim3 key_grid((p.s_kv + 63) / 64, kv_matrices);
  const dim3 score_grid((p.columns + 63) / 64, (p.s_q + 127) / 128, matrices);
  transposed_product<kD><<<key_grid, 128, sizeof(GradientSmem<kD>), stream>>>(p, g.d_o, g.dv);
  NaiveParams dp = p;  // the scores' product with dO and V in the place of Q and K
  dp.q = g.d_o, dp.k = p.v, dp.s = g.dp, dp.scale = 1;
  score_product<kD><<<score_grid, 128, sizeof(ScoreSmem<kD>), stream>>>(dp);
  row_gradient<<<matrices * p.s_q, 256, row_bytes, stream>>>(p.s, g.dp, p.columns, p.scale);
  NaiveParams ds = p;  // the output's product with dS and K in the place of P and V
  ds.s = g.dp, ds.v = p.k, ds.o = g.dq;
  output_product<kD>
      <<<dim3((p.s_q + 63) / 64, matrices), 128, sizeof(OutputSmem<kD>), stream>>>(ds);
  transposed_product<kD><<<key_grid, 128, sizeof(GradientSmem<kD>), stream>>>(ds, p.q, g.dk);
  CUDA_CHECK(cudaGetLastError());
}

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  const BackwardData data = backward_data(x, args);
  const AttentionData& f = data.forward;
  const auto whole = [](double n) { return static_cast<int>(n); };
  const int columns = (whole(x.s_kv) + 7) / 8 * 8, d = whole(x.d_qk);
  if (d != 64 && d != 128)
    throw std::invalid_argument("naive_backward: head size must be 64 or 128");
  const auto scores = static_cast<std::size_t>(x.b * x.h_q * x.s_q) * columns;
  const Buffer p_matrix(2 * scores), dp_matrix(2 * scores);
  const NaiveParams p{f.q.as<bf16>(),
                      f.k.as<bf16>(),
                      f.v.as<bf16>(),
                      f.o.as<bf16>(),
                      p_matrix.as<bf16>(),
                      whole(x.group()),
                      whole(x.s_q),
                      whole(x.s_kv),
                      columns,
                      x.causal,
                      static_cast<float>(f.call.scale)};
  const Gradients g{data.d_o.as<bf16>(), dp_matrix.as<bf16>(), data.dq.as<bf16>(),
                    data.dk.as<bf16>(), data.dv.as<bf16>()};
  const int kv_matrices = whole(x.b * x.h_kv);
  const auto forward = [=] { launch_naive(p, d, whole(x.b * x.h_q), nullptr); };
  refill(data);
  forward();
  const auto launch = [=, keep = data](cudaStream_t stream) {
    (void)p_matrix, (void)dp_matrix;  // p and g point to them
    if (d == 64) launch_gradients<64>(p, g, kv_matrices, stream);
    else launch_gradients<128>(p, g, kv_matrices, stream);
  };
  const attention::Tile tile{.m = 128, .n = 64, .ctas_per_sm = 2, .mma_rows = 32, .mma_sync = true};
  const attention::Cost cost = attention::naive(x, {}, on_chip(), {.tile = tile, .backward = true});
  const attention::Tile output{.m = 64, .n = d, .ctas_per_sm = 2, .mma_rows = 16, .mma_sync = true};
  const auto op_of = [](const attention::Cost& part) {
    return attention_op("naive_backward", OpClass::prefill_attention, part);
  };
  std::vector<Op> stages;
  for (const attention::Cost& kernel :
       attention::naive_backward_kernels(x, {}, on_chip(), tile, output)) {
    Op& op = stages.emplace_back(op_of(kernel));
    if (kernel.work.flops_executed > Flops{}) continue;
    const double rows = x.b * x.h_q * x.s_q;
    op.work.ctas = rows;
    op.work.smem = Bytes{rows * columns * 8};  // P and dP written and read once
  }
  return {.name = "naive_backward " + shape_name(x),
          .op = op_of(cost),
          .launch = launch,
          .verify =
              [=] {
                return verify_backward(data, launch, forward, 1e-2, {p_matrix, columns});
              },
          .kernels_per_launch = 5,
          .stages = stages};
}

}  // namespace

Entry naive_backward_entry() {
  std::vector<Args> shapes;
  for (const double d : {64., 128.})
    for (const double s : {512., 1024., 2048., 4096., 8192.})
      shapes.push_back({{"b", 16384 / s}, {"h_q", 2048 / d}, {"s_q", s}, {"d", d}, {"causal", 0}});
  shapes.push_back({{"b", 8}, {"h_q", 16}, {"s_q", 2048}, {"causal", 1}});
  shapes.push_back({{"h_q", 4}, {"s_q", 1024}});
  return {.name = "naive_backward",
          .title = "backward with P and dS in memory, five kernels",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
