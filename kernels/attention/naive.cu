// Attention as the equation reads, scores in memory.            model: model/attention/naive.cpp
//   S = scale · Q·K^T  [b, h_q, s_q, s_kv] bf16      P = softmax(S + mask), in place      O = P·V
//   q, o [b, h_q, s_q, d]   k, v [b, h_kv, s_kv, d]   bf16; h_q / h_kv heads share K and V
// Three kernels: tensor-core product, one block a row for the softmax, tensor-core product. The
// mask saves no work and no byte: the whole square is computed. What flash_v2 is measured against.
//   HBM   S written and read, P written and read: 4·b·h_q·s_q·s_kv·2 bytes beside q, k, v, o
#include <algorithm>

#include "kernels/attention/entries.hpp"
#include "kernels/check.hpp"
#include "kernels/naive_products.cuh"
#include "kernels/split_kv.hpp"
#include "model/attention/naive.hpp"

namespace kvroof::kernels {
namespace {

constexpr int kRowThreads = 256;  // of the softmax, a block a row
/// What the softmax moves through shared memory. A score: two bytes read, written and read again; a
/// warp's are 16 bytes apart and take four wavefronts of 128 bytes. A row: two reductions, in which
/// each of eight warps writes one value and reads eight.
constexpr Bytes kScoreSmem{3 * 4 * 128 / 32.}, kRowSmem{2 * 8 * (1 + 8) * 128.};

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

template <int kD>
void launch_products(const NaiveParams& p, int matrices, cudaStream_t stream) {
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
  const auto launch = [=, keep = std::vector{data.q, data.k, data.v, data.o, s}](
                          cudaStream_t stream) { launch_naive(p, d, matrices, stream); };
  const attention::Tile score{
      .m = 128, .n = 64, .ctas_per_sm = 2, .mma_rows = 32, .mma_sync = true};
  const attention::Tile output{.m = 64, .n = d, .ctas_per_sm = 2, .mma_rows = 16, .mma_sync = true};
  const attention::OnChip chip = on_chip();
  std::vector<Op> stages;
  Op sum{.name = "naive", .op_class = OpClass::prefill_attention};
  for (attention::Cost cost :
       {attention::naive_scores(x, {}, chip, score), attention::naive_softmax(x, {}, chip, score),
        attention::naive_output(x, {}, chip, output)}) {
    if (cost.work.exps > 0) {
      const double rows = x.b * x.h_q * x.s_q;
      cost.work.exps += rows * kRowThreads;  // 1 / l in every thread of a row's block
      cost.work.smem += rows * (1. * columns * kScoreSmem + kRowSmem);
    }
    Op& op = stages.emplace_back(sum);
    op.work = cost.work, op.execution = cost.execution;
    op.handed_over = cost.handed_over, op.kept = cost.kept;
  }
  sum.execution = stages.front().execution;
  for (const Op& op : stages) {
    sum.work += op.work, sum.handed_over += op.handed_over;
    sum.kept.written += op.kept.written;
  }
  return {.name = "naive " + shape_name(x),
          .op = sum,
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); },
          .kernels_per_launch = 3,
          .stages = stages};
}

}  // namespace

void launch_naive(const NaiveParams& p, int d, int matrices, cudaStream_t stream) {
  if (d == 64) launch_products<64>(p, matrices, stream);
  else launch_products<128>(p, matrices, stream);
}

Entry naive_entry() {
  std::vector<Args> shapes;
  for (const double d : {64., 128.})
    for (const double s : {512., 1024., 2048., 4096., 8192., 16384.})
      shapes.push_back({{"b", 16384 / s}, {"h_q", 2048 / d}, {"s_q", s}, {"d", d}, {"causal", 0}});
  shapes.push_back({{"b", 8}, {"h_q", 16}, {"s_q", 2048}, {"causal", 1}});
  shapes.push_back({{"h_q", 8}, {"s_q", 512}, {"causal", 0}});   // 8 MB: L2
  shapes.push_back({{"h_q", 8}, {"s_q", 1024}, {"causal", 0}});  // 25 MB
  return {.name = "naive",
          .title = "attention with the scores in memory, three kernels",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
