// FlashAttention-1 forward: keys outside, queries inside.       model: model/attention/flash_v1.cpp
//   q, o [b, h_q, s_q, d]   k, v [b, h_kv, s_kv, d]   bf16      state [b, h_q, s_q] {m, l} fp32
// One block per (query head, request), as in arXiv:2205.14135, Algorithm 1:
//   for each block of kKeys keys                    K, V -> shared memory, once a head
//     for each 16 query rows (one warp's work)      q, O, m, l <- memory
//       S = scale·q·K^T    m' = max(m, rowmax S)    P = exp(S - m')    l' = e^(m - m')·l + rowsum P
//       O = (e^(m - m')·l·O + P·V) / l'             O, m', l' -> memory
// O and its statistics cross the memory bus once per key block, which is what FlashAttention-2
// ended. The first key block starts from zeros in registers. Blocks above the diagonal are skipped.
//   read      k, v once; per pass q, o, 8 bytes of state a row (o and state not in the first)
//   written   o and state per pass; all of it stays in L2 where the resident heads' rows fit
#include <cmath>
#include <stdexcept>

#include "kernels/attention/entries.hpp"
#include "kernels/attention_case.hpp"
#include "kernels/attention_op.hpp"
#include "kernels/check.hpp"
#include "kernels/divisor.cuh"
#include "kernels/online_softmax.cuh"
#include "kernels/split_kv.hpp"
#include "kernels/tile.cuh"
#include "model/attention/flash_v1.hpp"

namespace kvroof::kernels {
namespace {

template <int kD_, int kKeys_, int kWarps_>
struct V1Tile {
  static constexpr int kD = kD_, kKeys = kKeys_, kRows = 16;
  static constexpr int kWarps = kWarps_, kThreads = 32 * kWarps, kCtasPerSm = 1;
  static constexpr int kKeyTiles = kKeys / 8, kKeySteps = kKeys / 16;
  static constexpr int kColTiles = kD / 8, kColSteps = kD / 16;
};

template <class T>
struct V1Smem {
  struct Rows {
    SharedTile<T::kRows, T::kD> q, o;
  };
  SharedTile<T::kKeys, T::kD> k, v;
  Rows warp[T::kWarps][2];  // a pair of stages a warp
};

struct V1Params {
  const bf16 *q, *k, *v;
  bf16* o;
  float2* state;  // {m, l}
  int h_q, h_kv, s_q, s_kv;
  Divisor group;  // h_q / h_kv
  int diagonal;   // row t sees keys up to t + diagonal; s_kv and more: all
  float scale;
};

/// The rows of one head, and one warp's copies of 16 of them.
template <class T>
struct Head {
  const bf16* q;
  bf16* o;
  float2* state;
  int s_q;

  __device__ void start_copy(typename V1Smem<T>::Rows& stage, int row, bool first_pass,
                             int lane) const {
    using Tile = SharedTile<T::kRows, T::kD>;
#pragma unroll
    for (int i = lane; i < T::kRows * Tile::kChunks; i += 32) {
      const int r = i / Tile::kChunks, chunk = i % Tile::kChunks;
      const bool in = row + r < s_q;
      const std::int64_t from = std::int64_t{in ? row + r : row} * T::kD + chunk * Tile::kChunk;
      copy_async(stage.q.address(r, chunk), q + from, in);
      if (!first_pass) copy_async(stage.o.address(r, chunk), o + from, in);
    }
  }
  /// {m, l} of the two rows this lane holds.
  __device__ void load_state(float2 (&x)[2], int row, bool first_pass, int lane) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + lane / 4 + 8 * half;
      x[half] = first_pass || r >= s_q ? make_float2(-INFINITY, 0) : __ldcg(state + r);
    }
  }
};

/// One step of the inner loop: 16 rows of one warp against the keys in shared memory.
template <class T>
__device__ __forceinline__ void step(const V1Smem<T>& smem, typename V1Smem<T>::Rows& stage,
                                     const Head<T>& head, const float2 (&state)[2], int row,
                                     int first_key, const V1Params& p, float scale,
                                     bool first_pass) {
  const int lane = threadIdx.x % 32;
  float s[T::kKeyTiles][4] = {};
  const auto q_tile = a_cursor(stage.q, 0, lane);
  const auto k_tile = b_cursor(smem.k, 0, lane);
#pragma unroll
  for (int c = 0; c < T::kColSteps; ++c) {
    std::uint32_t a[4];
    load_matrices(a, q_tile.at(0, c));
#pragma unroll
    for (int n = 0; n < T::kKeySteps; ++n) {
      std::uint32_t b[4];
      load_matrices(b, k_tile.at(n, c));
      mma(s[2 * n], a, b[0], b[1]);
      mma(s[2 * n + 1], a, b[2], b[3]);
    }
  }
  if (first_key + T::kKeys > ::min(p.s_kv, row + p.diagonal + 1)) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int newest = row + lane / 4 + e / 2 * 8 + p.diagonal;
      const int end = ::min(p.s_kv, newest + 1) - first_key - 2 * (lane % 4) - e % 2;
#pragma unroll
      for (int t = 0; t < T::kKeyTiles; ++t)
        if (8 * t >= end) s[t][e] = -INFINITY;
    }
  }

  OnlineSoftmax softmax;
  float weight[2];  // of the old O, before the division by the new l
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    softmax.max[half] = state[half].x;
    softmax.sum[half] = lane % 4 == 0 ? state[half].y : 0;
  }
  softmax.template update<true>(s, scale);
#pragma unroll
  for (int half = 0; half < 2; ++half) weight[half] = softmax.correction[half] * state[half].y;
  softmax.finish();

  float o[T::kColTiles][4] = {};
  char* o_bytes = reinterpret_cast<char*>(stage.o.data);
  const auto o_pair = [&](int half, int t) {
    return reinterpret_cast<std::uint32_t*>(
               o_bytes + SharedTile<T::kRows, T::kD>::offset(lane / 4 + 8 * half, t)) +
           lane % 4;
  };
  if (!first_pass) {
#pragma unroll
    for (int t = 0; t < T::kColTiles; ++t)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t pair = *o_pair(half, t);
        o[t][2 * half] = weight[half] * __uint_as_float(pair << 16);
        o[t][2 * half + 1] = weight[half] * __uint_as_float(pair & 0xffff0000u);
      }
  }
  const auto v_tile = a_cursor(smem.v, 0, lane);
#pragma unroll
  for (int n = 0; n < T::kKeySteps; ++n) {
    const float(&lo)[4] = s[2 * n], (&hi)[4] = s[2 * n + 1];
    const std::uint32_t a[4] = {pack_bf16(lo[0], lo[1]), pack_bf16(lo[2], lo[3]),
                                pack_bf16(hi[0], hi[1]), pack_bf16(hi[2], hi[3])};
#pragma unroll
    for (int c = 0; c < T::kColSteps; ++c) {
      std::uint32_t b[4];
      load_matrices_transposed(b, v_tile.at(n, c));
      mma(o[2 * c], a, b[0], b[1]);
      mma(o[2 * c + 1], a, b[2], b[3]);
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float inverse = softmax.sum[half] > 0 ? reciprocal_approx(softmax.sum[half]) : 0.f;
#pragma unroll
    for (int t = 0; t < T::kColTiles; ++t)
      *o_pair(half, t) = pack_bf16(o[t][2 * half] * inverse, o[t][2 * half + 1] * inverse);
    const int r = row + lane / 4 + 8 * half;
    if (lane % 4 == 0 && r < p.s_q)
      head.state[r] = make_float2(softmax.max[half], softmax.sum[half]);
  }
  __syncwarp();
  using Tile = SharedTile<T::kRows, T::kD>;
#pragma unroll
  for (int i = lane; i < T::kRows * Tile::kChunks; i += 32) {
    const int r = i / Tile::kChunks, chunk = i % Tile::kChunks;
    if (row + r < p.s_q)
      *reinterpret_cast<uint4*>(head.o + std::int64_t{row + r} * T::kD + chunk * Tile::kChunk) =
          *reinterpret_cast<const uint4*>(o_bytes + Tile::offset(r, chunk));
  }
  __syncwarp();  // the stage may be filled again
}

template <class T>
__global__ __launch_bounds__(T::kThreads, T::kCtasPerSm) void forward(const V1Params p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  auto& smem = *reinterpret_cast<V1Smem<T>*>(shared);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int h = blockIdx.x, request = blockIdx.y, kv_head = p.group.quotient(h);
  const std::int64_t row0 = (std::int64_t{request} * p.h_q + h) * p.s_q;
  const std::int64_t key0 = (std::int64_t{request} * p.h_kv + kv_head) * p.s_kv;
  const Head<T> head{p.q + row0 * T::kD, p.o + row0 * T::kD, p.state + row0, p.s_q};
  const bf16 *k = p.k + key0 * T::kD, *v = p.v + key0 * T::kD;
  const float scale = p.scale * 1.4426950408889634f;  // exponents to base 2
  constexpr int kStride = T::kWarps * T::kRows;

  for (int first_key = 0; first_key < p.s_kv; first_key += T::kKeys) {
    const bool first_pass = first_key == 0;
    __syncthreads();  // the previous keys have been read by all, and its O has been written
    load_rows<T::kThreads>(smem.k, p.s_kv - first_key, threadIdx.x,
                           [&](int r) { return k + std::int64_t{first_key + r} * T::kD; });
    load_rows<T::kThreads>(smem.v, p.s_kv - first_key, threadIdx.x,
                           [&](int r) { return v + std::int64_t{first_key + r} * T::kD; });
    // The first rows whose last one sees the block; a first pass serves all, to write their zeros.
    const int hidden = first_pass ? 0 : ::max(0, first_key - p.diagonal) / T::kRows * T::kRows;
    int row = hidden + (warp + T::kWarps - hidden / T::kRows % T::kWarps) % T::kWarps * T::kRows;
    float2 next_state[2];
    const auto start = [&](int stage) {
      if (row < p.s_q) {
        head.start_copy(smem.warp[warp][stage], row, first_pass, lane);
        head.load_state(next_state, row, first_pass, lane);
      }
      commit_copies();
    };
    start(0);
    wait_copies<0>();
    __syncthreads();  // all of K and V is here

    for (int stage = 0; row < p.s_q; stage ^= 1) {
      const int current = row;
      const float2 state[2] = {next_state[0], next_state[1]};
      row += kStride;
      start(stage ^ 1);
      wait_copies<1>();
      __syncwarp();
      step<T>(smem, smem.warp[warp][stage], head, state, current, first_key, p, scale, first_pass);
    }
    wait_copies<0>();
  }
}

/// f.operator()<Tile>() for the tile of a head size: 8 warps where shared memory holds their rows
/// (192 KiB, Hopper and later), fewer on an A100; the model's tile is the same.
template <class F>
auto with_tile(int d, const F& f) {
  static const bool roomy = [] {
    int bytes = 0;
    CUDA_CHECK(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    return bytes >= 192 * 1024;
  }();
  if (d == 64) return f.template operator()<V1Tile<64, 128, 8>>();
  if (d == 128)
    return roomy ? f.template operator()<V1Tile<128, 128, 8>>()
                 : f.template operator()<V1Tile<128, 128, 4>>();
  if (d == 256)
    return roomy ? f.template operator()<V1Tile<256, 64, 4>>()
                 : f.template operator()<V1Tile<256, 64, 2>>();
  throw std::invalid_argument("flash_v1: head size must be 64, 128 or 256");
}

template <class T>
void launch_tile(const V1Params& p, int requests, cudaStream_t stream) {
  constexpr int kSmem = sizeof(V1Smem<T>);
  static const cudaError_t ready =
      cudaFuncSetAttribute(forward<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSmem);
  CUDA_CHECK(ready);
  forward<T><<<dim3(p.h_q, requests), T::kThreads, kSmem, stream>>>(p);
  CUDA_CHECK(cudaGetLastError());
}

/// As the model counts it: each lane of a quad computes a row's correction and its 1 / l'.
attention::Tile kernel_tile(int d) {
  return with_tile(d, [&]<class T>() {
    return attention::Tile{.m = T::kRows,
                           .n = T::kKeys,
                           .ctas_per_sm = T::kCtasPerSm,
                           .mma_rows = T::kRows,
                           .row_lanes = 8,
                           .mma_sync = true};
  });
}

/// Each pass over the rows ends at a barrier and begins with new keys, so that it fills and drains
/// its block as a wave of blocks does: on an H200 8 us for 128 keys of d 128, two of its steps.
Op further_passes(Op op, const AttentionShape& x) {
  const double slots = 1.0 * op.execution.ctas_per_sm * on_chip().num_sms;
  const double passes = std::ceil(x.s_kv / kernel_tile(static_cast<int>(x.d_qk)).n);
  op.work = {.ctas = slots * std::ceil(op.work.ctas / slots) * (passes - 1)};
  op.handed_over = Bytes{}, op.kept = Kept{};
  return op;
}

Case make(const Args& args) {
  const AttentionShape x = attention_shape(args);
  AttentionData data = head_major_data(x, args);
  data.lse = Buffer();  // the state takes its place
  refill(data);
  const reference::Attention& c = data.call;
  const Buffer state(static_cast<std::size_t>(c.b * c.h_q * c.s_q) * sizeof(float2));
  const auto whole = [](std::int64_t n) { return static_cast<int>(n); };
  const V1Params p{.q = data.q.as<bf16>(),
                   .k = data.k.as<bf16>(),
                   .v = data.v.as<bf16>(),
                   .o = data.o.as<bf16>(),
                   .state = state.as<float2>(),
                   .h_q = whole(c.h_q),
                   .h_kv = whole(c.h_kv),
                   .s_q = whole(c.s_q),
                   .s_kv = whole(c.s_kv),
                   .group = Divisor(whole(c.h_q / c.h_kv)),
                   .diagonal = whole(c.causal ? c.s_kv - c.s_q : c.s_kv),
                   .scale = static_cast<float>(c.scale)};
  const int d = whole(c.d_qk), requests = whole(c.b);
  const auto launch = [=, keep = data](cudaStream_t stream) {
    static_cast<void>(state);
    with_tile(d, [&]<class T>() { launch_tile<T>(p, requests, stream); });
  };
  const attention::Cost cost =
      attention::flash_v1(x, {}, on_chip(), {.tile = kernel_tile(d), .initial_state = false});
  const Op op = attention_op("flash_v1", OpClass::prefill_attention, cost);
  return {.name = "flash_v1 " + shape_name(x),
          .op = op,
          .launch = launch,
          .verify = [=] { return verify_attention(data, launch); },
          .stages = {op, further_passes(op, x)}};
}

}  // namespace

Entry flash_v1_entry() {
  const auto shape = [](double b, double h, double s, double d, double causal) {
    return Args{{"b", b}, {"h_q", h}, {"s_q", s}, {"d", d}, {"causal", causal}};
  };
  return {.name = "flash_v1",
          .title = "FlashAttention-1 forward: K/V outside, O rewritten per key block",
          .shapes = {shape(1, 16, 512, 128, 0),    // 4 MB live: L2
                     shape(1, 132, 512, 128, 0),   // 35 MB live
                     shape(1, 132, 1024, 64, 0),   // 36 MB
                     shape(1, 132, 2048, 128, 0),  // 141 MB
                     shape(1, 132, 4096, 128, 0),  // 281 MB: 7 times L2
                     shape(1, 132, 8192, 128, 0),  // 562 MB
                     shape(1, 132, 8192, 64, 0),   // 285 MB
                     shape(1, 132, 4096, 256, 0),  // 557 MB
                     shape(1, 132, 4096, 128, 1), shape(1, 132, 8192, 128, 1),
                     shape(1, 132, 8192, 64, 1), shape(64, 16, 1024, 64, 0),  // FA1 Fig. 2
                     shape(4, 16, 4096, 128, 1), shape(2, 32, 2048, 128, 1)},
          .make = make};
}

}  // namespace kvroof::kernels
