// FlashAttention-2 backward with recomputation, on mma.sync.   model: model/attention/flash_v2.cpp
//   P = exp(scale·Q·K^T - lse)         D = rowsum(dO ∘ O)
//   dV = P^T·dO     dS = P ∘ (dO·V^T - D)     dQ = scale·dS·K     dK = scale·dS^T·Q
//   q, o, dO, dQ [b, h_q, s_q, d]   k, v, dK, dV [b, h_kv, s_kv, d]   bf16 or fp16
//   lse [b, h_q, s_q] fp32
// Three kernels. 1: D, and zeros for dQ's sum. 2: one block per 128 (d 256: 64) keys walks over the
// query tiles of all heads that share them: dK and dV stay in registers, dQ is added up in fp32 in
// global memory (in L2: the blocks of a head run side by side). 3: dQ's sum to bf16. Five products
// a tile instead of the seven that separate passes for dQ and for dK, dV would take.
//   P^T and dS^T pass through shared memory: as operands of dV, dK and dQ they are read by other
//   warps than made them, so that each warp's share of every product is 32 rows.
//   HBM read   q, k, v, o, 2·dO, lse, D, dQ's sum     written   dQ, dK, dV, D, dQ's sum
// d 256 takes 210 KiB of shared memory, more than sm_80 has. arXiv:2307.08691 Algorithm 2.
#include <stdexcept>

#include "kernels/attention/entries.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/backward_case.hpp"
#include "kernels/backward_tile.cuh"
#include "kernels/band.cuh"
#include "kernels/check.hpp"
#include "kernels/online_softmax.cuh"
#include "kernels/split_kv.hpp"
#include "kernels/tile.cuh"
#include "model/attention/flash_v2.hpp"

namespace kvroof::kernels {
namespace {

/// Pointers to 16-bit numbers of either format.
struct BackwardParams {
  const bf16 *q, *k, *v, *o, *d_o;
  const float* lse;
  bf16 *dq, *dk, *dv;
  float *delta, *dq_sum;  // [b·h_q, s_q]; [b·h_q, query tiles, kM·kD] in the order of the products
  int b, h_q, h_kv, group, s_q, s_kv;  // group: h_q / h_kv
  bool causal;
  float scale;  // 1 / sqrt(d)

  __device__ int diagonal() const { return s_kv - s_q; }
  /// Matrix of a block of a grid (tiles, heads, requests), and the block's number. Three dimensions
  /// of the grid save the divisions that one would take, which run on the XU pipe.
  __device__ std::int64_t matrix() const {
    return std::int64_t{blockIdx.z} * gridDim.y + blockIdx.y;
  }
  __device__ std::int64_t query_block() const { return matrix() * gridDim.x + blockIdx.x; }
};

/// Kernel 1, a block per (query tile, head, request).
template <class T>
__global__ __launch_bounds__(T::kThreads) void prepare(const BackwardParams p) {
  const int first = blockIdx.x * T::kM;
  const std::int64_t matrix = p.matrix();
  float4* sum = reinterpret_cast<float4*>(p.dq_sum + p.query_block() * (T::kM * T::kD));
#pragma unroll
  for (int i = 0; i < T::kDqQuads; ++i)
    sum[i * T::kThreads + threadIdx.x] = make_float4(0, 0, 0, 0);

  constexpr int kLanes = T::kD / 8;  // a row
#pragma unroll
  for (int r = threadIdx.x / kLanes; r < T::kM; r += T::kThreads / kLanes) {
    const std::int64_t row = matrix * p.s_q + first + r;
    float x = 0;
    if (first + r < p.s_q) {
      const uint4 o = reinterpret_cast<const uint4*>(p.o + row * T::kD)[threadIdx.x % kLanes];
      const uint4 d_o = reinterpret_cast<const uint4*>(p.d_o + row * T::kD)[threadIdx.x % kLanes];
      const std::uint32_t a[4] = {o.x, o.y, o.z, o.w}, b[4] = {d_o.x, d_o.y, d_o.z, d_o.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 y = T::Number::unpack(a[i]), z = T::Number::unpack(b[i]);
        x += y.x * z.x + y.y * z.y;
      }
    }
#pragma unroll
    for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(~0u, x, lanes);
    if (threadIdx.x % kLanes == 0 && first + r < p.s_q) p.delta[row] = x;
  }
}

/// Kernel 2, a block per (kN keys, K/V head, request).
template <class T>
__global__ __launch_bounds__(T::kThreads, 1) void backward(const BackwardParams p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<BackwardSmem<T>*>(shared);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int first_key = blockIdx.x * T::kN, keys = p.s_kv - first_key;
  const std::int64_t kv_matrix = p.matrix();  // request·h_kv + K/V head
  const int group = p.group, tiles = T::query_tiles(p.s_q);
  // Causal: the first tile of which some row sees some key of the block.
  const int first_tile = p.causal ? ::max(0, first_key - p.diagonal()) / T::kM : 0;
  const int each = ::max(0, tiles - first_tile), steps = group * each;
  constexpr float kLog2e = 1.4426950408889634f;
  const float scale = p.scale * kLog2e;

  const std::int64_t kv_row = kv_matrix * p.s_kv + first_key;
  load_rows<T::kThreads>(smem.k, keys, threadIdx.x,
                         [&](int r) { return p.k + (kv_row + r) * T::kD; });
  load_rows<T::kThreads>(smem.v, keys, threadIdx.x,
                         [&](int r) { return p.v + (kv_row + r) * T::kD; });

  // The steps walk from the last query tile down to first_tile, each time over the heads of the
  // group: blocks that start together add to the same sums together, wherever the diagonal ends
  // them, and L2 holds few sums at a time.
  struct Step {
    std::int64_t matrix;
    int tile;
  };
  const std::int64_t last_head = kv_matrix * group + group - 1;
  const auto after = [&](Step x) {
    return x.matrix < last_head ? Step{x.matrix + 1, x.tile}
                                : Step{last_head - group + 1, x.tile - 1};
  };
  Step load{kv_matrix * group, tiles - 1}, now = load;
  float next_lse2 = INFINITY, next_delta = 0;  // of row threadIdx.x; +inf makes P zero
  const auto start_load = [&](int i) {
    if (i < steps) {
      const std::int64_t row = load.matrix * p.s_q + load.tile * T::kM;
      const int valid = p.s_q - load.tile * T::kM;
      load_rows<T::kThreads>(smem.q[i % 2], valid, threadIdx.x,
                             [&](int r) { return p.q + (row + r) * T::kD; });
      load_rows<T::kThreads>(smem.d_o[i % 2], valid, threadIdx.x,
                             [&](int r) { return p.d_o + (row + r) * T::kD; });
      const int r = threadIdx.x;
      next_lse2 = INFINITY, next_delta = 0;
      if (r < T::kM && r < valid) {
        const float lse = p.lse[row + r];
        next_lse2 = lse == -INFINITY ? INFINITY : lse * kLog2e;
        next_delta = p.delta[row + r];
      }
      load = after(load);
    }
    commit_copies();
  };
  start_load(0);

  const int key = 32 * (warp / T::kAcross), query = warp % T::kAcross * T::kQueries;
  const int column = warp % T::kAcross * T::kCols;
  const int dq_row = warp / 4 * T::kDqRows, dq_column = warp % 4 * T::kDqCols;
  const auto k_rows = a_cursor(smem.k, key, lane), v_rows = a_cursor(smem.v, key, lane);
  const auto p_rows = a_cursor(smem.p, key, lane), ds_rows = a_cursor(smem.ds, key, lane);
  const auto columns_of = [&](const auto& tile, int first) {
    return FragmentCursor(tile, lane & 15, (lane >> 4) + first / 8);
  };
  const FragmentCursor ds_columns(smem.ds, (lane & 7) + ((lane >> 4) << 3),
                                  ((lane >> 3) & 1) + dq_row / 8);
  using Number = typename T::Number;
  float dk[2][T::kCols / 8][4] = {}, dv[2][T::kCols / 8][4] = {};
  for (int i = 0; i < steps; ++i, now = after(now)) {
    if (threadIdx.x < T::kM) {
      smem.lse2[i % 2][threadIdx.x] = next_lse2;
      smem.delta[i % 2][threadIdx.x] = next_delta;
    }
    wait_copies<0>();
    __syncthreads();  // this tile is complete; all warps are done with the other one, P and dS
    start_load(i + 1);
    const auto& q = smem.q[i % 2];
    const auto& d_o = smem.d_o[i % 2];

    float s[2][T::kQueries / 8][4] = {}, dp[2][T::kQueries / 8][4] = {};
    const auto transposed_product = [&](auto& x, const auto& a_rows, const auto& b_rows) {
      add_product<Number, T::kColSteps>(
          x, [&](auto& a, int m, int c) { load_matrices(a, a_rows.at(m, c)); },
          [&](auto& b, int c, int n) { load_matrices(b, b_rows.at(n, c)); });
    };
    transposed_product(s, k_rows, b_cursor(q, query, lane));
    const int row = now.tile * T::kM, newest_key = p.causal ? row + p.diagonal() : INT_MAX / 2;
    const bool plain = first_key + T::kN <= ::min(p.s_kv, newest_key + 1);
    const int own_key = first_key + key + lane / 4, own_query = query + 2 * (lane % 4);
#pragma unroll
    for (int t = 0; t < T::kQueries / 8; ++t) {
      const float2 lse2 = *reinterpret_cast<const float2*>(&smem.lse2[i % 2][own_query + 8 * t]);
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int j = own_key + 16 * m + e / 2 * 8, x = own_query + 8 * t + e % 2;
          const bool hidden = !plain && (j >= p.s_kv || j > newest_key + x);
          s[m][t][e] =
              hidden ? 0.f : exp2_approx(s[m][t][e] * scale - (e % 2 == 0 ? lse2.x : lse2.y));
        }
    }
    share<Number>(smem.p, s, key, query, lane);

    transposed_product(dp, v_rows, b_cursor(d_o, query, lane));
#pragma unroll
    for (int t = 0; t < T::kQueries / 8; ++t) {
      const float2 delta = *reinterpret_cast<const float2*>(&smem.delta[i % 2][own_query + 8 * t]);
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int e = 0; e < 4; ++e) s[m][t][e] *= dp[m][t][e] - (e % 2 == 0 ? delta.x : delta.y);
    }
    share<Number>(smem.ds, s, key, query, lane);
    __syncthreads();  // P and dS are complete

    const auto add_gradient = [&](auto& x, const auto& a_rows, const auto& b_columns) {
      add_product<Number, T::kRowSteps>(
          x, [&](auto& a, int m, int n) { load_matrices(a, a_rows.at(m, n)); },
          [&](auto& b, int n, int c) { load_matrices_transposed(b, b_columns.at(n, c)); });
    };
    add_gradient(dv, p_rows, columns_of(d_o, column));
    add_gradient(dk, ds_rows, columns_of(q, column));

    float dq[T::kDqRowTiles][2 * T::kDqColSteps][4] = {};
    const auto k_columns = columns_of(smem.k, dq_column);
    add_product<Number, T::kKeySteps>(
        dq, [&](auto& a, int m, int n) { load_matrices_transposed(a, ds_columns.at(n, m)); },
        [&](auto& b, int n, int c) { load_matrices_transposed(b, k_columns.at(n, c)); });
    float4* sum =
        reinterpret_cast<float4*>(p.dq_sum + (now.matrix * tiles + now.tile) * (T::kM * T::kD));
#pragma unroll
    for (int m = 0; m < T::kDqRowTiles; ++m)
#pragma unroll
      for (int t = 0; t < 2 * T::kDqColSteps; ++t)
        add_to_memory(sum + (m * 2 * T::kDqColSteps + t) * T::kThreads + threadIdx.x, dq[m][t]);
  }

  wait_copies<0>();
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = key + 16 * m + 8 * half + lane / 4;
      if (r >= keys) continue;
      const std::int64_t at = (kv_row + r) * T::kD + column + 2 * (lane % 4);
#pragma unroll
      for (int t = 0; t < T::kCols / 8; ++t) {
        *reinterpret_cast<std::uint32_t*>(p.dk + at + 8 * t) =
            Number::pack(dk[m][t][2 * half] * p.scale, dk[m][t][2 * half + 1] * p.scale);
        *reinterpret_cast<std::uint32_t*>(p.dv + at + 8 * t) =
            Number::pack(dv[m][t][2 * half], dv[m][t][2 * half + 1]);
      }
    }
}

/// Kernel 3, the grid of kernel 1. A lane takes the four neighbouring results of a row and of the
/// row 8 further down, 8 columns each, and writes 16 bytes of both;
/// lanes side by side fill sectors.
template <class T>
__global__ __launch_bounds__(T::kThreads) void finish_dq(const BackwardParams p) {
  constexpr int kGroups = 2 * T::kDqColSteps, kQuads = T::kM * T::kD / 16;
  const int first = blockIdx.x * T::kM;
  const float4* sum = reinterpret_cast<const float4*>(p.dq_sum + p.query_block() * (T::kM * T::kD));
#pragma unroll 2
  for (int i = threadIdx.x; i < kQuads; i += T::kThreads) {
    // i counts 8 columns, then the 8 rows of a quad of lanes, then warps, then 16 rows.
    const int t = i % kGroups, lane = i / kGroups % 8, warp = i / (8 * kGroups) % T::kWarps;
    const int m = i / (8 * kGroups * T::kWarps);
    const float4* from = sum + (m * kGroups + t) * T::kThreads + 32 * warp + 4 * lane;
    const int row = first + warp / 4 * T::kDqRows + 16 * m + lane;
    const int column = warp % 4 * T::kDqCols + 8 * t;
    std::uint32_t upper[4], lower[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float4 x = from[j];
      upper[j] = T::Number::pack(x.x * p.scale, x.y * p.scale);
      lower[j] = T::Number::pack(x.z * p.scale, x.w * p.scale);
    }
    bf16* out = p.dq + (p.matrix() * p.s_q + row) * T::kD + column;
    const auto write = [](bf16* to, const std::uint32_t(&x)[4]) {
      *reinterpret_cast<uint4*>(to) = make_uint4(x[0], x[1], x[2], x[3]);
    };
    if (row < p.s_q) write(out, upper);
    if (row + 8 < p.s_q) write(out + 8 * T::kD, lower);
  }
}

template <class Number, class F>
auto with_tile(int d, const F& f) {
  if (d == 64) return f.template operator()<BackwardTile<64, 128, 128, Number>>();
  if (d == 128) return f.template operator()<BackwardTile<128, 64, 128, Number>>();
  if (d == 256) return f.template operator()<BackwardTile<256, 64, 64, Number>>();
  throw std::invalid_argument("flash_backward: head size must be 64, 128 or 256");
}
template <class F>
auto with_tile(int d, bool fp16, const F& f) {
  return fp16 ? with_tile<Fp16>(d, f) : with_tile<Bf16>(d, f);
}

template <class T>
void launch_tile(const BackwardParams& p, cudaStream_t stream) {
  constexpr int kSmem = sizeof(BackwardSmem<T>);
  static const cudaError_t ready =
      cudaFuncSetAttribute(backward<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem);
  CUDA_CHECK(ready);
  const dim3 query_blocks(T::query_tiles(p.s_q), p.h_q, p.b);
  const dim3 key_blocks((p.s_kv + T::kN - 1) / T::kN, p.h_kv, p.b);
  prepare<T><<<query_blocks, T::kThreads, 0, stream>>>(p);
  backward<T><<<key_blocks, T::kThreads, kSmem, stream>>>(p);
  finish_dq<T><<<query_blocks, T::kThreads, 0, stream>>>(p);
  CUDA_CHECK(cudaGetLastError());
}

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  const bool fp16 = arg(args, "fp16", 0) != 0;
  BackwardData data = backward_data(x, args);
  data.forward.dtype = fp16 ? Dtype::fp16 : Dtype::bf16;
  refill(data);
  const int d = static_cast<int>(x.d_qk);
  const auto matrices = static_cast<std::size_t>(x.b * x.h_q);
  const std::size_t sum_bytes = with_tile(d, fp16, [&]<class T>() {
    return matrices * static_cast<std::size_t>(T::query_tiles(static_cast<int>(x.s_q))) *
           sizeof(float) * T::kM * T::kD;
  });
  const Buffer dq_sum(sum_bytes), delta(matrices * static_cast<std::size_t>(x.s_q) * sizeof(float));
  const AttentionData& f = data.forward;
  const auto whole = [](double n) { return static_cast<int>(n); };
  const BackwardParams p{f.q.as<bf16>(),
                         f.k.as<bf16>(),
                         f.v.as<bf16>(),
                         f.o.as<bf16>(),
                         data.d_o.as<bf16>(),
                         f.lse.as<float>(),
                         data.dq.as<bf16>(),
                         data.dk.as<bf16>(),
                         data.dv.as<bf16>(),
                         delta.as<float>(),
                         dq_sum.as<float>(),
                         whole(x.b),
                         whole(x.h_q),
                         whole(x.h_kv),
                         whole(x.group()),
                         whole(x.s_q),
                         whole(x.s_kv),
                         x.causal,
                         static_cast<float>(f.call.scale)};
  const auto launch = [=, keep = data](cudaStream_t stream) {
    (void)dq_sum, (void)delta;  // p points to them
    with_tile(d, fp16, [&]<class T>() { launch_tile<T>(p, stream); });
  };
  const attention::Tile tile = with_tile(d, fp16, [&]<class T>() {
    return attention::Tile{
        .m = T::kM, .n = T::kN, .p_in_smem = true, .mma_rows = 32, .mma_sync = true};
  });
  const attention::Cost cost =
      attention::flash_v2(x, {}, on_chip(), {.tile = tile, .backward = true});
  const auto op_of = [math = fp16 ? MathType::fp16 : MathType::bf16](const attention::Cost& part) {
    return attention_op("flash_backward", OpClass::prefill_attention, part, math);
  };
  std::vector<Op> stages;
  for (const attention::Cost& kernel : attention::flash_v2_backward_kernels(x, {}, on_chip(), tile))
    stages.push_back(op_of(kernel));
  return {.name = (fp16 ? "flash_backward fp16 " : "flash_backward ") + shape_name(x),
          .op = op_of(cost),
          .launch = launch,
          .verify = [=] { return verify_backward(data, launch); },
          .kernels_per_launch = 3,
          .stages = stages};
}

}  // namespace

Entry flash_backward_entry() {
  std::vector<Args> shapes;
  for (const double d : {64., 128., 256.})
    for (const double s : {512., 2048., 8192.})
      for (const double causal : {0., 1.})
        shapes.push_back(
            {{"b", 16384 / s}, {"h_q", 2048 / d}, {"s_q", s}, {"d", d}, {"causal", causal}});
  shapes.push_back({{"b", 2}, {"h_q", 32}, {"h_kv", 8}, {"s_q", 4096}});
  shapes.push_back({{"h_q", 4}, {"s_q", 1024}});
  shapes.push_back({{"b", 2}, {"h_q", 16}, {"s_q", 8192}, {"fp16", 1}});
  return {.name = "flash_backward",
          .title = "FlashAttention-2 backward with recomputation on mma.sync",
          .shapes = shapes,
          .make = make};
}

}  // namespace kvroof::kernels
