// Attention as the equation reads, scores in memory.            model: model/attention/naive.cpp
//   S = scale · Q·K^T  [b, h_q, s_q, s_kv] bf16      P = softmax(S + mask), in place      O = P·V
//   q, o [b, h_q, s_q, d]   k, v [b, h_kv, s_kv, d]   bf16; h_q / h_kv heads share K and V
// Three kernels: tensor-core product, one block a row for the softmax, tensor-core product. The
// mask saves no work and no byte: the whole square is computed. What flash_v2 is measured against.
//   HBM   S written and read, P written and read: 4·b·h_q·s_q·s_kv·2 bytes beside q, k, v, o
#include <algorithm>

#include "kernels/attention/entries.hpp"
#include "kernels/check.hpp"
#include "kernels/flash_loop.cuh"
#include "kernels/flash_prefill.hpp"
#include "kernels/split_kv.hpp"
#include "model/attention/naive.hpp"

namespace kvroof::kernels {
namespace {

struct NaiveParams {
  const bf16 *q, *k, *v;
  bf16 *o, *s;                    // s [b·h_q, s_q, columns], columns = s_kv rounded up to 8
  int group, s_q, s_kv, columns;  // group: h_q / h_kv
  bool causal;
  float scale;

  /// K/V head of a query head, requests counted through. A division runs on the XU pipe.
  __device__ int kv_matrix(int matrix) const { return group == 1 ? matrix : matrix / group; }
};

constexpr int kRowThreads = 256;  // of the softmax, a block a row

template <int kD>
using ScoreTile = FlashTile<kD, 128, 64, 4, false, 1>;
template <int kD>
struct ScoreSmem {
  SharedTile<128, kD> q;
  SharedTile<64, kD> k;
};
template <int kD>
struct OutputSmem {
  SharedTile<64, 64> p[2];
  SharedTile<64, kD> v[2];
};

/// S = scale·Q·K^T, one block per 128 x 64 scores.
template <int kD>
__global__ __launch_bounds__(128) void score_product(const NaiveParams p) {
  using T = ScoreTile<kD>;
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<ScoreSmem<kD>*>(shared);
  const int row = blockIdx.y * T::kM, key = blockIdx.x * T::kN, matrix = blockIdx.z;
  const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16 * T::kRowTiles;
  const bf16* q = p.q + (static_cast<std::int64_t>(matrix) * p.s_q + row) * kD;
  const bf16* k = p.k + (static_cast<std::int64_t>(p.kv_matrix(matrix)) * p.s_kv + key) * kD;
  load_rows<128>(smem.q, p.s_q - row, threadIdx.x, [&](int r) { return q + r * kD; });
  load_rows<128>(smem.k, p.s_kv - key, threadIdx.x, [&](int r) { return k + r * kD; });
  commit_copies();
  wait_copies<0>();
  __syncthreads();

  float s[T::kRowTiles][T::kKeyTiles][4] = {};
  const std::uint32_t unused[T::kRowTiles][T::kColSteps][4] = {};
  scores<T>(s, unused, a_cursor(smem.q, warp_row, lane), b_cursor(smem.k, 0, lane));

  bf16* out = p.s + static_cast<std::int64_t>(matrix) * p.s_q * p.columns;
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + warp_row + 16 * m + 8 * half + lane / 4;
#pragma unroll
      for (int t = 0; t < T::kKeyTiles; ++t) {
        const int j = key + 8 * t + 2 * (lane % 4);
        if (r < p.s_q && j < p.columns)
          *reinterpret_cast<std::uint32_t*>(out + static_cast<std::int64_t>(r) * p.columns + j) =
              pack_bf16(s[m][t][2 * half] * p.scale, s[m][t][2 * half + 1] * p.scale);
      }
    }
}

__device__ float block_reduce(float x, bool sum) {
  __shared__ float of_warp[8];
#pragma unroll
  for (int d = 16; d > 0; d /= 2) {
    const float y = __shfl_xor_sync(~0u, x, d);
    x = sum ? x + y : fmaxf(x, y);
  }
  __syncthreads();  // the last reduction's values have been read
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
  __syncthreads();
  x = of_warp[0];
#pragma unroll
  for (int w = 1; w < 8; ++w) x = sum ? x + of_warp[w] : fmaxf(x, of_warp[w]);
  return x;
}

/// P = softmax of one row of S, in place; hidden scores become 0. The row stays in shared memory
/// between the maximum, the sum and the division: one read and one write of memory.
__global__ __launch_bounds__(kRowThreads) void row_softmax(const NaiveParams p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  uint4* kept = reinterpret_cast<uint4*>(shared);
  const int t = blockIdx.x;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * p.s_q + t;
  const int end = p.causal ? ::min(p.s_kv, t + p.s_kv - p.s_q + 1) : p.s_kv;
  uint4* s = reinterpret_cast<uint4*>(p.s + row * p.columns);
  constexpr float kLog2e = 1.4426950408889634f;

  float top = -INFINITY;
  for (int i = threadIdx.x; i < p.columns / 8; i += kRowThreads) {
    kept[i] = s[i];
    const bf16* x = reinterpret_cast<const bf16*>(&kept[i]);
    for (int e = 0; e < 8; ++e)
      if (8 * i + e < end) top = fmaxf(top, __bfloat162float(x[e]));
  }
  top = block_reduce(top, false);
  float sum = 0;
  for (int i = threadIdx.x; i < p.columns / 8; i += kRowThreads) {
    bf16* x = reinterpret_cast<bf16*>(&kept[i]);
    for (int e = 0; e < 8; ++e) {
      const float y = 8 * i + e < end ? exp2_approx((__bfloat162float(x[e]) - top) * kLog2e) : 0.f;
      x[e] = __float2bfloat16(y);
      sum += y;
    }
  }
  sum = block_reduce(sum, true);
  const float inverse = sum > 0 ? 1 / sum : 0.f;
  for (int i = threadIdx.x; i < p.columns / 8; i += kRowThreads) {
    uint4 y = kept[i];
    bf16* x = reinterpret_cast<bf16*>(&y);
    for (int e = 0; e < 8; ++e) x[e] = __float2bfloat16(__bfloat162float(x[e]) * inverse);
    s[i] = y;
  }
}

/// O = P·V, one block per 64 rows; the next 64 keys are copied while these are used.
template <int kD>
__global__ __launch_bounds__(128) void output_product(const NaiveParams p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<OutputSmem<kD>*>(shared);
  const int row = blockIdx.x * 64, matrix = blockIdx.y;
  const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16;
  const bf16* s = p.s + (static_cast<std::int64_t>(matrix) * p.s_q + row) * p.columns;
  const bf16* v = p.v + static_cast<std::int64_t>(p.kv_matrix(matrix)) * p.s_kv * kD;
  const auto load = [&](int i) {
    const int key = 64 * i, chunk = threadIdx.x % 8;
#pragma unroll
    for (int r = threadIdx.x / 8; r < 64; r += 16) {
      const bool in = row + r < p.s_q && key + 8 * chunk < p.columns;
      copy_async(smem.p[i % 2].address(r, chunk),
                 in ? s + static_cast<std::int64_t>(r) * p.columns + key + 8 * chunk : s, in);
    }
    load_rows<128>(smem.v[i % 2], p.s_kv - key, threadIdx.x,
                   [&](int r) { return v + static_cast<std::int64_t>(key + r) * kD; });
    commit_copies();
  };

  float o[kD / 8][4] = {};
  const int tiles = (p.s_kv + 63) / 64;
  load(0);
  for (int i = 0; i < tiles; ++i) {
    wait_copies<0>();
    __syncthreads();
    if (i + 1 < tiles) load(i + 1);
    const auto p_tile = a_cursor(smem.p[i % 2], warp_row, lane);
    const auto v_tile = a_cursor(smem.v[i % 2], 0, lane);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      std::uint32_t a[4];
      load_matrices(a, p_tile.at(0, n));
#pragma unroll
      for (int c = 0; c < kD / 16; ++c) {
        std::uint32_t b[4];
        load_matrices_transposed(b, v_tile.at(n, c));
        mma(o[2 * c], a, b[0], b[1]);
        mma(o[2 * c + 1], a, b[2], b[3]);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + warp_row + 8 * half + lane / 4;
    if (r >= p.s_q) continue;
    bf16* out = p.o + (static_cast<std::int64_t>(matrix) * p.s_q + r) * kD + 2 * (lane % 4);
#pragma unroll
    for (int t = 0; t < kD / 8; ++t)
      *reinterpret_cast<std::uint32_t*>(out + 8 * t) =
          pack_bf16(o[t][2 * half], o[t][2 * half + 1]);
  }
}

template <int kD>
void launch_naive(const NaiveParams& p, int matrices, cudaStream_t stream) {
  const int row_bytes = 2 * p.columns;
  const auto allow = [](auto* kernel, int bytes) {
    CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  };
  allow(score_product<kD>, sizeof(ScoreSmem<kD>));
  allow(row_softmax, row_bytes);
  allow(output_product<kD>, sizeof(OutputSmem<kD>));
  const dim3 score_grid((p.columns + 63) / 64, (p.s_q + 127) / 128, matrices);
  score_product<kD><<<score_grid, 128, sizeof(ScoreSmem<kD>), stream>>>(p);
  row_softmax<<<dim3(p.s_q, matrices), kRowThreads, row_bytes, stream>>>(p);
  output_product<kD><<<dim3((p.s_q + 63) / 64, matrices), 128, sizeof(OutputSmem<kD>), stream>>>(p);
  CUDA_CHECK(cudaGetLastError());
}

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  AttentionData data = head_major_data(x, args);
  data.lse = {};
  refill(data);
  const auto whole = [](double n) { return static_cast<int>(n); };
  const int columns = (whole(x.s_kv) + 7) / 8 * 8, matrices = whole(x.b * x.h_q);
  const Buffer s(static_cast<std::size_t>(matrices) * static_cast<std::size_t>(x.s_q) *
                 static_cast<std::size_t>(columns) * 2);
  const NaiveParams p{data.q.as<bf16>(),
                      data.k.as<bf16>(),
                      data.v.as<bf16>(),
                      data.o.as<bf16>(),
                      s.as<bf16>(),
                      whole(x.group()),
                      whole(x.s_q),
                      whole(x.s_kv),
                      columns,
                      x.causal,
                      static_cast<float>(data.call.scale)};
  const int d = whole(x.d_qk);
  const auto launch = [=,
                       keep = std::vector{data.q, data.k, data.v, data.o, s}](cudaStream_t stream) {
    if (d == 64) launch_naive<64>(p, matrices, stream);
    else launch_naive<128>(p, matrices, stream);
  };
  const attention::Tile score{
      .m = 128, .n = 64, .ctas_per_sm = 2, .mma_rows = 32, .mma_sync = true};
  const attention::Tile output{.m = 64, .n = d, .ctas_per_sm = 2, .mma_rows = 16, .mma_sync = true};
  const attention::OnChip chip = on_chip();
  std::vector<Op> stages;
  Op sum{.name = "naive", .op_class = OpClass::prefill_attention};
  for (attention::Cost cost :
       {attention::naive_scores(x, {}, chip, score), attention::naive_softmax(x, {}, chip, score),
        attention::naive_output(x, {}, chip, output)}) {
    if (cost.work.exps > 0)  // 1 / l in every thread of a row's block
      cost.work.exps += x.b * x.h_q * x.s_q * kRowThreads;
    Op& op = stages.emplace_back(sum);
    op.work = cost.work, op.execution = cost.execution, op.handed_over = cost.handed_over;
  }
  sum.execution = stages.front().execution;
  for (const Op& op : stages) sum.work += op.work, sum.handed_over += op.handed_over;
  return {.name = "naive " + shape_name(x),
          .op = sum,
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); },
          .kernels_per_launch = 3,
          .stages = stages};
}

}  // namespace

Entry naive_entry() {
  std::vector<Args> shapes;
  for (const double d : {64., 128.})
    for (const double s : {512., 1024., 2048., 4096., 8192., 16384.})
      shapes.push_back({{"b", 16384 / s}, {"h_q", 2048 / d}, {"s_q", s}, {"d", d}, {"causal", 0}});
  shapes.push_back({{"b", 8}, {"h_q", 16}, {"s_q", 2048}, {"causal", 1}});
  return {.name = "naive",
          .title = "attention with the scores in memory, three kernels",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
