// MLA decode, absorbed, on Hopper.                        model: model/attention/mla_decode.cpp
//   S = scale · q · C^T over all 576 columns of the latent rows C      P = softmax(S) by rows
//   O = P · C[:, :512]          h_q·s_q query rows share every row of C
//   q [b, s_q·h_q, 576]   cache [pages, page, 576]   table [b, max_pages]   o [b, s_q·h_q, 512]
//   bf16 in, fp32 accumulation; query token t sees keys j <= length - s_q + t
// DeepSeek-V2 (arXiv:2405.04434), section 2.1.
//
// Why it is laid out like this. A block holds 64 query rows: O is 64 x 512 fp32, half of the SM's
// registers, so no more fit. A tile of 64 keys then costs 36 wgmma m64n64k16 for S and 8 m64n256k16
// for O: 2176 cycles of tensor time, 34 a key. At N = 64 a wgmma with both operands in shared
// memory needs as many cycles of shared memory (16 for A + N/4 for B) as of tensor time, and TMA
// writes 576 cycles a tile beside it: shared memory would be the limit. So q lives in registers,
// all 144 of a thread, of a warpgroup that does nothing but S and the softmax:
//
//   shared-memory cycles a tile   S 36·16 + O 8·(16 + 64) + TMA 576 + P 64 = 1856 of 2176
//   registers a thread            scores 200, two halves of O 144 each, producer 24: 512 in all
//
//   producer   one thread: the ring of three tiles (K and V are the same bytes), the pages of the
//              block table, and an L2 prefetch some tiles ahead, since two tiles of 72 KiB do not
//              cover HBM's latency. q comes through the same ring, so the next piece's q arrives
//              under the present piece.
//   scores     S_j, softmax, P_j -> shared memory
//   output 0/1 O[:, 256·w ...] += P_j · C_j
//
// The tensor cores must have work while P_j+1 is in its softmax: the output warpgroups issue
// kEarly of P_j's four steps at once and the rest when S_j+1 is finished, under softmax j+1.
// O is rescaled only when a maximum rises by more than 8 (2^8 fits P and l; arXiv:2603.05451).
//
// Cluster of two (128 heads): both blocks need the same latent. Each loads its share and multicasts
// it, so L2 is read once for the two. Which block does what: balanced_split.hpp.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/balanced_split.cuh"
#include "kernels/hopper/cluster.cuh"
#include "kernels/hopper/fragment.cuh"
#include "kernels/hopper/named_barrier.cuh"
#include "kernels/hopper/registers.cuh"
#include "kernels/hopper/wgmma.cuh"

namespace kvroof::kernels::mla {

using namespace hopper;
using hopper::shared_address;

constexpr int kRows = 64, kKeys = 64, kStages = 3;
constexpr int kBlocks = 9, kLatentBlocks = 8;  // of 64 columns: 512 + 64
constexpr int kLatent = 512;
constexpr int kLoads = 3;  // a tile comes in three copies of three blocks
constexpr int kThreads = 512;

struct Tile {
  bf16 block[kBlocks][kKeys][64];
};

/// A piece as its block needs it. Registers are scarce: everyone reads this when it matters.
struct Errand {
  int tiles;     // 0: no piece is left
  int unmasked;  // of them, seen whole by all rows
  int keys;      // of the stream, counted from this piece's first
  int row;       // this block's first row in its request
  int whole;     // o and lse go to `out`; else partial results go there
  std::int64_t out;  // row of o, or of part_o
};

/// What the scores warpgroup hands over with P.
struct Step {
  int valid;                // keys of the tile; the rest are to be cleared
  int first, last;          // tile of its piece; first < 0: nothing is left
  int moved[4];             // by warp: some row of its 16 needs the correction
  float correction[kRows];  // of O, before this tile's P·V
  float inverse[kRows];     // 1 / l, with the last tile
};

struct Smem {
  alignas(1024) Tile tile[kStages];  // latent tiles, and q at the start of each piece
  alignas(1024) bf16 p[kRows][64];
  Step step;
  Errand errand[4];  // of this piece and the next ones, published with q
  Mbarrier full[kStages], free[kStages];
};

struct Params {
  CUtensorMap q, cache;
  const int* table;
  int max_pages, page;
  BalancedPlan plan;
  int groups;                        // clusters' row blocks a request: streams are [b, groups]
  int rows, h_q, s_q;                // rows = s_q · h_q a request
  bf16* o;                           // [b, rows, 512]
  float *lse, *part_o, *part_lse2;   // [b, rows] or null; [2·workers, kCluster·64(, 512)]
  float scale;
};

enum Barrier { kPFull = 1, kPFree = 2, kScoresDone = 3, kOutput = 4 };  // kOutput + warpgroup
constexpr int kScoresAndOutput = 384;

// ---- producer ---------------------------------------------------------------------------------

/// The whole warp walks, one lane loads: lanes look up the pages of 64 tiles at a time.
template <int kCluster, int kAhead>
__device__ __forceinline__ void produce(Smem& smem, const Params& p) {
  const int lane = threadIdx.x % 32;
  const int rank = kCluster > 1 ? cluster_rank() : 0;
  Ring<kStages> ring{.parity = 1};
  int errand = 0;
  PieceWalk<kKeys> walk(p.plan, static_cast<int>(blockIdx.x) / kCluster);
  while (!walk.done()) {
    const Piece piece = walk.next();
    const int request = piece.stream / p.groups, group = piece.stream % p.groups;
    const int* table = p.table + static_cast<std::int64_t>(request) * p.max_pages;
    const auto page_of = [&](int tile) {
      return tile < piece.end && tile * kKeys < piece.keys ? table[tile * kKeys / p.page] : 0;
    };
    int chunk = piece.begin;  // lanes hold the pages of tiles [chunk, chunk + 32) and the next 32
    int pages = page_of(chunk + lane), next_pages = page_of(chunk + 32 + lane);
    const auto page = [&](int tile) {
      const int a = __shfl_sync(~0u, pages, tile - chunk),
                b = __shfl_sync(~0u, next_pages, tile - chunk - 32);
      return tile - chunk < 32 ? a : b;
    };
    const auto prefetch = [&](int tile) {
      const int at = page(tile);
      if (tile < piece.end && lane < kLoads && lane % kCluster == rank)
        prefetch_tile(p.cache, tile * kKeys % p.page, 0, at, 3 * lane);
    };

    smem.free[ring.stage].wait(ring.parity);
    if (lane == 0) {
      const int row = (group * kCluster + rank) * kRows;
      const int unmasked = (piece.keys - p.s_q + 1) / kKeys - piece.begin;
      smem.errand[errand] = {piece.end - piece.begin,
                             unmasked,
                             piece.keys - piece.begin * kKeys,
                             row,
                             piece.whole,
                             piece.whole ? static_cast<std::int64_t>(request) * p.rows + row
                                         : (piece.slot * kCluster + rank) * kRows};
      smem.full[ring.stage].arrive_expect(sizeof(Tile));
      load_tile(&smem.tile[ring.stage], p.q, smem.full[ring.stage], row, 0, request);
    }
    errand = (errand + 1) % 4;
    ring.advance();
    for (int ahead = 2; ahead < kAhead; ++ahead) prefetch(piece.begin + ahead);

    for (int tile = piece.begin; tile < piece.end; ++tile) {
      if (tile - chunk == 32) {
        chunk += 32;
        pages = next_pages, next_pages = page_of(chunk + 32 + lane);
      }
      const int at = page(tile), row = tile * kKeys % p.page;
      if constexpr (kAhead > 0) prefetch(tile + kAhead);
      smem.free[ring.stage].wait(ring.parity);
      auto& to = smem.tile[ring.stage];
      auto& full = smem.full[ring.stage];
      if (lane == 0) full.arrive_expect(sizeof(Tile));
      __syncwarp();
      if (lane < kLoads) {
        if constexpr (kCluster == 1) {
          load_tile(to.block[3 * lane], p.cache, full, row, 0, at, 3 * lane);
        } else if ((lane + tile) % kCluster == rank) {
          load_tile_to((1 << kCluster) - 1, to.block[3 * lane], p.cache, full, row, 0, at,
                       3 * lane);
        }
      }
      ring.advance();
    }
  }
  smem.free[ring.stage].wait(ring.parity);
  if (lane == 0) smem.errand[errand].tiles = 0, smem.full[ring.stage].arrive();
}

/// This warp no longer reads the stage; told to every block that writes to it. `count` arrivals.
template <int kCluster>
__device__ __forceinline__ void release(Mbarrier& free, int count) {
  __syncwarp();
  const int lane = threadIdx.x % 32;
  if (lane >= kCluster * count) return;
  if constexpr (kCluster == 1) free.arrive();
  else arrive_at(free, lane % kCluster);
}

// ---- scores -----------------------------------------------------------------------------------

/// q -> A operands, by ldmatrix from the swizzled tile.
__device__ __forceinline__ void load_q(std::uint32_t (&q)[4 * kBlocks][4], const Tile& tile) {
  const int lane = threadIdx.x % 32, row = threadIdx.x % 128 / 32 * 16 + lane % 16;
  const std::uint32_t at = shared_address(&tile.block[0][row][0]);
#pragma unroll
  for (int i = 0; i < 4 * kBlocks; ++i) {
    const int chunk = 2 * (i % 4) + lane / 16;
    load_matrices(q[i], at + i / 4 * sizeof tile.block[0] +
                            static_cast<std::uint32_t>((chunk ^ (row & 7)) << 4));
  }
}

__device__ __forceinline__ void issue_scores(float (&s)[kKeys / 2],
                                             const std::uint32_t (&q)[4 * kBlocks][4],
                                             Descriptor keys) {
  wgmma::pin(s);
  wgmma::fence();
#pragma unroll
  for (int i = 0; i < 4 * kBlocks; ++i)
    wgmma::Mma<kKeys>::rs<bf16, wgmma::Major::k>(s, q[i], keys + (i / 4 * kKeys * 128 + i % 4 * 32),
                                                 i > 0);
  wgmma::commit();
}

/// P as bf16 into the swizzled tile that output warpgroups read as their A operand.
__device__ __forceinline__ void store_p(Smem& smem, const float (&s)[kKeys / 2]) {
  const int row = fragment_row();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    auto* to = reinterpret_cast<std::uint32_t*>(smem.p[row + 8 * half]) + threadIdx.x % 4;
#pragma unroll
    for (int g = 0; g < kKeys / 8; ++g)
      to[(g ^ (row & 7)) * 4] = pack2<bf16>(s[4 * g + 2 * half], s[4 * g + 2 * half + 1]);
  }
}

/// Keys that a row sees, of those from this piece's first on.
__device__ __forceinline__ int sees(const Params& p, const Errand& errand, int row) {
  return min(errand.keys, errand.keys - p.s_q + 1 + (errand.row + row) / p.h_q);
}

template <int kCluster, int kEarly>
__device__ __forceinline__ void scores(Smem& smem, const Params& p) {
  const float scale = p.scale * 1.4426950408889634f;  // exponents to base 2
  Ring<kStages> ring;
  for (int piece = 0;; piece = (piece + 1) % 4) {
    smem.full[ring.stage].wait(ring.parity);
    const Errand& errand = smem.errand[piece];
    const int tiles = errand.tiles;
    if (tiles == 0) break;
    std::uint32_t q[4 * kBlocks][4];
    load_q(q, smem.tile[ring.stage]);
    release<kCluster>(smem.free[ring.stage], 2);
    ring.advance();

    float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0};  // m is the maximum P is relative to
    for (int tile = 0; tile < tiles; ++tile) {
      float s[kKeys / 2];
      smem.full[ring.stage].wait(ring.parity);
      issue_scores(s, q, k_major(&smem.tile[ring.stage]));
      wgmma::wait<0>();
      wgmma::pin(s);
      ring.advance();
      if (kEarly < 4 && tile > 0) barrier_arrive(kScoresDone, kScoresAndOutput);

      if (tile >= errand.unmasked) {
        const int limit[2] = {sees(p, errand, fragment_row()) - tile * kKeys,
                              sees(p, errand, fragment_row() + 8) - tile * kKeys};
#pragma unroll
        for (int i = 0; i < kKeys / 2; ++i)
          if (fragment_column() + i / 4 * 8 + i % 2 >= limit[i / 2 % 2]) s[i] = -INFINITY;
      }
      bool moved = false;
      float correction[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float high[2] = {s[2 * half], s[2 * half + 1]};
#pragma unroll
        for (int g = 1; g < kKeys / 8; ++g)
          high[0] = fmaxf(high[0], s[4 * g + 2 * half]),
          high[1] = fmaxf(high[1], s[4 * g + 2 * half + 1]);
        const float top = row_max(fmaxf(high[0], high[1]));
        const bool rises = (top - m[half]) * scale > 8 || (m[half] == -INFINITY && top > m[half]);
        const float next = rises ? top : m[half];
        correction[half] = rises ? exp2_approx((m[half] - next) * scale) : 1.f;
        moved |= rises;
        m[half] = next;
        const float base = next == -INFINITY ? 0.f : next * scale;
        float sum[2] = {l[half] * correction[half], 0};
#pragma unroll
        for (int g = 0; g < kKeys / 8; ++g)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& x = s[4 * g + 2 * half + e];
            x = exp2_approx(fmaf(x, scale, -base));
            sum[e] += x;
          }
        l[half] = sum[0] + sum[1];
      }
      moved = __any_sync(~0u, moved);

      barrier_sync(kPFree, kScoresAndOutput);
      store_p(smem, s);
      Step& step = smem.step;
      if (threadIdx.x % 128 == 0)
        step.first = tile == 0, step.last = tile + 1 == tiles,
        step.valid = errand.keys - tile * kKeys;
      if (threadIdx.x % 32 == 0) step.moved[threadIdx.x % 128 / 32] = moved;
      if (moved && threadIdx.x % 4 == 0)
        step.correction[fragment_row()] = correction[0],
        step.correction[fragment_row() + 8] = correction[1];
      if (tile + 1 == tiles) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float sum = row_sum(l[half]);
          if (threadIdx.x % 4 != 0) continue;
          const int row = fragment_row() + 8 * half;
          step.inverse[row] = sum > 0 ? 1 / sum : 0.f;
          const float lse2 = sum > 0 ? m[half] * scale + log2f(sum) : -INFINITY;
          if (!errand.whole) p.part_lse2[errand.out + row] = lse2;
          else if (errand.row + row < p.rows && p.lse != nullptr)
            p.lse[errand.out + row] = lse2 * 0.6931471805599453f;
        }
      }
      fence_proxy_async();
      barrier_arrive(kPFull, kScoresAndOutput);
    }
  }
  barrier_sync(kPFree, kScoresAndOutput);
  if (threadIdx.x % 128 == 0) smem.step.first = -1;
  barrier_arrive(kPFull, kScoresAndOutput);
}

// ---- output -----------------------------------------------------------------------------------

/// P[:, 16·i ...] · C[16·i ..., 256·half ...] for i in [kFrom, kTo).
/// Two instructions of 128 columns: ptxas wants all operands of one within the registers that a
/// thread has at launch, 128.
template <int kFrom, int kTo>
__device__ __forceinline__ void issue_output(float (&o)[2][64], Descriptor probabilities,
                                             Descriptor values, bool first) {
  wgmma::pin(o[0]), wgmma::pin(o[1]);
  wgmma::fence();
#pragma unroll
  for (int i = kFrom; i < kTo; ++i)
#pragma unroll
    for (int c = 0; c < 2; ++c)
      wgmma::Mma<128>::ss<bf16, wgmma::Major::mn>(o[c], probabilities + i * 32,
                                                  values + (c * 2 * kKeys * 128 + i * 2048),
                                                  i > 0 || !first);
  wgmma::commit();
}

/// Rows of a tile past the last key: whatever the page holds there, 0 · it must be 0.
__device__ __forceinline__ void clear_rows(Tile& tile, int from, int part) {
  for (int i = threadIdx.x % 128; i < (kKeys - from) * 4 * 8; i += 128) {
    const int row = from + i / 32, block = 4 * part + i / 8 % 4, chunk = i % 8;
    *reinterpret_cast<uint4*>(&tile.block[block][row][8 * chunk]) = make_uint4(0, 0, 0, 0);
  }
  fence_proxy_async();
  barrier_sync(kOutput + part, 128);
}

template <int kCluster, int kEarly>
__device__ __forceinline__ void output(Smem& smem, const Params& p, int part) {
  const Descriptor probabilities = k_major(smem.p);
  const Step& step = smem.step;
  float o[2][64];
  int stage = 0, piece = 0;
  for (;;) {
    barrier_arrive(kPFree, kScoresAndOutput);
    barrier_sync(kPFull, kScoresAndOutput);
    const int first = step.first;
    if (first < 0) break;
    if (first) stage = (stage + 1) % kStages;  // q
    Tile& latent = smem.tile[stage];
    if (step.valid < kKeys) clear_rows(latent, max(step.valid, 0), part);
    if (!first && step.moved[threadIdx.x % 128 / 32]) {
      const float correction[2] = {step.correction[fragment_row()],
                                   step.correction[fragment_row() + 8]};
#pragma unroll
      for (int i = 0; i < 64; ++i)
        o[0][i] *= correction[i / 2 % 2], o[1][i] *= correction[i / 2 % 2];
    }
    const Descriptor values = mn_major(latent.block[4 * part], kKeys);
    if constexpr (kEarly > 0) issue_output<0, kEarly>(o, probabilities, values, first);
    if constexpr (kEarly < 4) {
      if (!step.last) barrier_sync(kScoresDone, kScoresAndOutput);
      issue_output<kEarly, 4>(o, probabilities, values, first);
    }
    wgmma::wait<0>();
    wgmma::pin(o[0]), wgmma::pin(o[1]);
    release<kCluster>(smem.free[stage], 1);
    stage = (stage + 1) % kStages;
    if (!step.last) continue;

    const Errand& errand = smem.errand[piece];
    piece = (piece + 1) % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = fragment_row() + 8 * half;
      const float factor = step.inverse[row];
      const std::int64_t at = (errand.out + row) * kLatent + 256 * part;
      if (errand.whole) {
        const bool valid = errand.row + row < p.rows;
        store_row(p.o + at, o[0], half, factor, valid);
        store_row(p.o + at + 128, o[1], half, factor, valid);
      } else {
        float* out = p.part_o + at + fragment_column();
#pragma unroll
        for (int c = 0; c < 2; ++c)
#pragma unroll
          for (int g = 0; g < 16; ++g)
            *reinterpret_cast<float2*>(out + 128 * c + 8 * g) = make_float2(
                o[c][4 * g + 2 * half] * factor, o[c][4 * g + 2 * half + 1] * factor);
      }
    }
  }
}

template <int kCluster, int kEarly, int kAhead>
__global__ void __launch_bounds__(kThreads, 1) decode(const __grid_constant__ Params p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL  // wgmma and setmaxnreg exist on sm_90a alone
  extern __shared__ __align__(1024) std::uint8_t raw[];
  auto& smem = *reinterpret_cast<Smem*>(raw);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i)
      smem.full[i].init(1), smem.free[i].init(8 * kCluster);  // output warps of all blocks
    fence_barrier_init();
  }
  if constexpr (kCluster > 1) cluster_sync();
  else __syncthreads();
  const int warpgroup = warpgroup_index();
  if (warpgroup == 0) {
    give_back_registers<24>();
    if (threadIdx.x < 32) produce<kCluster, kAhead>(smem, p);
  } else if (warpgroup == 1) {
    take_registers<200>();
    scores<kCluster, kEarly>(smem, p);
  } else {
    take_registers<144>();
    output<kCluster, kEarly>(smem, p, warpgroup - 2);
  }
  if constexpr (kCluster > 1) {
    __syncwarp();
    cluster_sync();  // no block leaves while another may still write to it
  }
#endif
}

}  // namespace kvroof::kernels::mla
