// MLA decode, absorbed, on Hopper.                        model: model/attention/mla_decode.cpp
//   S = scale · q · C^T over all 576 columns of the latent rows C      P = softmax(S) by rows
//   O = P · C[:, :512]          h_q·s_q query rows share every row of C
//   q [b, s_q·h_q, 576]   cache [pages, page, 576]   table [b, max_pages]   o [b, s_q·h_q, 512]
//   bf16 in, fp32 accumulation; query token t sees keys j <= length - s_q + t
// DeepSeek-V2 (arXiv:2405.04434), section 2.1.
//
// Why it is laid out like this. A block holds 64 query rows: O is 64 x 512 fp32, half of the SM's
// registers. A tile of 64 keys then takes 36 wgmma m64n64k16 for S and 8 m64n256k16 for O: 2176
// cycles of tensor time, 34 a key. At N = 64 a wgmma with both operands in shared memory needs as
// many cycles of shared memory (16 for A, N/4 for B) as of tensor time, and TMA writes 576 cycles a
// tile beside it. So most of q lives in registers, of a warpgroup that does S and the softmax only:
//
//   shared memory, cycles a tile   S 31·16 + 5·32, O 8·(16 + 64), TMA 576, P 64: 1936 of 2176
//   registers a thread             scores 184, each half of O 160: the 504 that a launch can have
//   shared memory, KiB             three tiles 3·72, 80 columns of q 10: 226 of 227
//
//   scores     S_j, softmax, P_j -> shared memory
//   output 0/1 O[:, 256·w ...] += P_j · C_j
//
// The tensor cores must have work while P_j+1 is in its softmax: the output warpgroups start
// P_j·C_j when S_j+1 is finished, so that it runs under softmax j+1 instead of beside S_j+1. O is
// rescaled only when a maximum rises by more than 8 (2^8 fits P and l; arXiv:2603.05451).
//
// Ring. An element is the q of a piece or one tile of 64 keys; K and V are the same bytes, and P
// takes the place of the rope block, which only S needs. The first thread of output warpgroup 0
// loads an element while its own wgmma wait.
//
// Cluster of two (128 heads): both blocks need the same latent. Each loads one of a tile's two
// parts for both, in turn, so L2 is read once: 625 TFLOP/s, 473 without. Which cluster does what:
// balanced_split.hpp.
//
// What it reaches (H200, reports/h200-sxm-141gb/decode_tma.csv): 128 heads 624 to 656 TFLOP/s, 64
// heads 3.97 TB/s. By stall samples a tile takes about 3200 cycles: S 1400, softmax 1150, the rest
// waits for the tile and starts wgmma; the scores warpgroup is the critical path. Tried and slower:
// P·C beside S instead of under the softmax (-9 %), S in two halves of 32 keys so that a softmax
// runs under the next S (-24 %: m64n32k16 cannot keep the tensor cores busy), an L2 prefetch of
// whole tiles (-6 %).
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/async_copy.cuh"
#include "kernels/balanced_split.cuh"
#include "kernels/hopper/cluster.cuh"
#include "kernels/hopper/fragment.cuh"
#include "kernels/hopper/named_barrier.cuh"
#include "kernels/hopper/registers.cuh"
#include "kernels/hopper/wgmma.cuh"

namespace kvroof::kernels::mla {

using namespace hopper;
using hopper::shared_address;

constexpr int kRows = 64, kKeys = 64, kLatent = 512, kRow = 576;
constexpr int kStages = 3, kRope = 8, kBlocks = 9;  // block 8 of a tile: the rotary columns
constexpr int kParts = 2;                           // a tile arrives as blocks 4 .. 8 and 0 .. 3
__host__ __device__ constexpr int part_first(int part) { return part == 0 ? 4 : 0; }
__host__ __device__ constexpr int part_blocks(int part) { return part == 0 ? 5 : 4; }
constexpr int kThreads = 384;

using Block = bf16[kKeys][64];  // 64 columns of a tile, swizzled: 8 KiB

/// A piece as its block needs it. Registers are scarce: everyone reads this when it matters.
struct Errand {
  int tiles;         // 0: no piece is left
  int unmasked;      // of them, seen whole by all rows
  int keys;          // of the stream, counted from this piece's first
  int row;           // this block's first row in its request
  int whole;         // o and lse go to `out`; else partial results go there
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

/// What is loaded next; one thread's.
struct Feed {
  int stage, parity, more, told, rank;
  int next, begin, end, keys;  // tile of the piece; begin - 1: its q
  int request, row, errand;
  int walked, last, stream;  // of the worker's walk: next tile, end, next stream
  int page;                  // of the next tile, in time
};

struct Smem {
  alignas(1024) Block tile[kStages][kBlocks];
  alignas(1024) Block q;            // columns 448 .. 511 of q
  bf16 q_step[kRows / 8][2][8][8];  // columns 432 .. 447, in 8 x 8 matrices without swizzle
  Step step;
  Errand errand[4];
  Feed feed;
  Mbarrier full[kStages][kParts];
  Mbarrier used[kStages];  // by the output warps of all blocks of the cluster
};

static_assert(sizeof(Smem) <= 227 * 1024);

struct Params {
  CUtensorMap q[kParts], cache[kParts];
  const int* table;
  int max_pages, page_tiles_log2;  // pages hold 64 << page_tiles_log2 tokens
  BalancedPlan plan;
  int groups;                       // clusters' row blocks a request: streams are [b, groups]
  int rows, h_q, s_q;               // rows = s_q · h_q a request
  bf16* o;                          // [b, rows, 512]
  float *lse, *part_o, *part_lse2;  // [b, rows] or null; [2·workers, kCluster·64(, 512)]
  float scale;
};

enum Barrier { kPFull = 1, kScoresDone = 3, kStepRead = 5, kScores, kOutput };  // kOutput + part
constexpr int kAll = kThreads;

// ---- feeding ----------------------------------------------------------------------------------

/// One thread's: elements into the ring, in order.
template <int kCluster>
struct Feeder {
  Smem& smem;
  const Params& p;
  Feed& f = smem.feed;

  __device__ int worker() const { return static_cast<int>(blockIdx.x) / kCluster; }

  /// Page of a tile of the present piece -> f.page, some time later.
  __device__ void look_up(int tile) {
    if (tile >= f.end || tile * kKeys >= f.keys) return;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(&f.page)),
                 "l"(p.table + f.request * p.max_pages + (tile >> p.page_tiles_log2))
                 : "memory");
  }
  __device__ static void wait_lookups() {
    commit_copies();
    wait_copies<0>();
  }
  /// The next piece, and its errand for the others.
  __device__ void next_piece() {
    f.more = f.walked < f.last;
    Errand& errand = smem.errand[f.errand];
    f.errand = (f.errand + 1) % 4;
    errand.tiles = 0;
    if (!f.more) return;
    PieceWalk<kKeys> walk{p.plan, worker(), f.walked, f.last, f.stream};
    const Piece piece = walk.next();
    f.walked = walk.tile, f.stream = walk.stream;
    f.request = piece.stream / p.groups;
    f.row = (piece.stream % p.groups * kCluster + f.rank) * kRows;
    f.next = piece.begin - 1, f.begin = piece.begin, f.end = piece.end, f.keys = piece.keys;
    errand = {piece.end - piece.begin,
              (piece.keys - p.s_q + 1) / kKeys - piece.begin,
              piece.keys - piece.begin * kKeys,
              f.row,
              piece.whole,
              piece.whole ? static_cast<std::int64_t>(f.request) * p.rows + f.row
                          : (piece.slot * kCluster + f.rank) * kRows};
    look_up(piece.begin);
  }

  __device__ void load() {
    const int stage = f.stage, next = f.next;
    auto& tile = smem.tile[stage];
    auto& full = smem.full[stage];
    if (!f.more) {
      if (!f.told) full[0].arrive();
      f.told = true;
      return;
    }
    const bool is_q = next < f.begin;
    wait_lookups();
    const int page = next * kKeys < f.keys ? f.page : 0;
    const int in_page = next & ((1 << p.page_tiles_log2) - 1);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      Block& to = tile[part_first(part)];
      full[part].arrive_expect(part_blocks(part) * static_cast<int>(sizeof(Block)));
      if (is_q) load_tile(&to, p.q[part], full[part], f.row, 0, f.request, part_first(part));
      else if constexpr (kCluster == 1)
        load_tile(&to, p.cache[part], full[part], in_page * kKeys, 0, page, part_first(part));
      else if ((part + next) % kCluster == f.rank)
        load_tile_to((1 << kCluster) - 1, &to, p.cache[part], full[part], in_page * kKeys, 0, page,
                     part_first(part));
    }
    f.stage = stage + 1 == kStages ? 0 : stage + 1;
    f.parity ^= f.stage == 0;
    if (!is_q) look_up(next + 1);
    if ((f.next = next + 1) == f.end) next_piece();
  }

  __device__ void start() {
    const int2 from = worker_range(p.plan, worker());
    f.rank = kCluster > 1 ? cluster_rank() : 0;
    f.stage = f.errand = f.told = 0, f.parity = 1;
    f.walked = from.x, f.stream = from.y, f.last = worker_range(p.plan, worker() + 1).x;
    next_piece();
    for (int i = 0; i < kStages; ++i) load();
  }
  /// Loads one element more, once its place has been used by all.
  __device__ void refill() {
    if (f.told) return;
    smem.used[f.stage].wait(f.parity);
    load();
  }
};

/// This warp no longer reads the stage; told to every block that writes to it. `count` arrivals.
template <int kCluster>
__device__ __forceinline__ void release(Mbarrier& used, int count) {
  __syncwarp();
  const int lane = threadIdx.x % 32;
  if (lane >= kCluster * count) return;
  if constexpr (kCluster == 1) used.arrive();
  else arrive_at(used, lane % kCluster);
}

// ---- scores -----------------------------------------------------------------------------------

/// The same in all lanes, and known to be: what follows from it can live in uniform registers.
__device__ __forceinline__ int uniform(int x) { return __shfl_sync(~0u, x, 0); }

/// 64 rows of one block of q, 16 columns a step -> A operands, by ldmatrix from the swizzled block.
template <int kSteps>
__device__ __forceinline__ void load_q(std::uint32_t (*q)[4], const Block& block) {
  const int lane = threadIdx.x % 32, row = threadIdx.x % 128 / 32 * 16 + lane % 16;
  const std::uint32_t at = shared_address(&block[row][0]);
#pragma unroll
  for (int i = 0; i < kSteps; ++i)
    load_matrices(*reinterpret_cast<std::uint32_t(*)[4]>(q[i]),
                  at + static_cast<std::uint32_t>(((2 * i + lane / 16) ^ (row & 7)) << 4));
}

/// P as bf16 into the swizzled tile that output warpgroups read as their A operand.
__device__ __forceinline__ void store_p(Block& p, const float (&s)[kKeys / 2]) {
  const int lane = threadIdx.x % 32, row = threadIdx.x % 128 / 32 * 16 + lane % 16;
  const std::uint32_t at = shared_address(p[row]) + ((lane / 16 ^ (row & 7)) << 4);
#pragma unroll
  for (int i = 0; i < kKeys / 16; ++i)
    asm volatile(
        "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(at ^ (i << 5)),
        "r"(pack2<bf16>(s[8 * i], s[8 * i + 1])), "r"(pack2<bf16>(s[8 * i + 2], s[8 * i + 3])),
        "r"(pack2<bf16>(s[8 * i + 4], s[8 * i + 5])), "r"(pack2<bf16>(s[8 * i + 6], s[8 * i + 7]))
        : "memory");
}

/// Keys that a row sees, of those from this piece's first on.
__device__ __forceinline__ int sees(const Params& p, const Errand& errand, int row) {
  return min(errand.keys, errand.keys - p.s_q + 1 + (errand.row + row) / p.h_q);
}

template <int kCluster>
__device__ __forceinline__ void scores(Smem& smem, const Params& p) {
  const float scale = p.scale * 1.4426950408889634f;  // exponents to base 2
  barrier_sync(kStepRead, kAll);
  Ring<kStages> ring;
  int count = 0;  // of tiles: neighbours use different barriers
  for (int piece = 0;; piece = (piece + 1) % 4) {
    auto& first = smem.tile[ring.stage];
    smem.full[ring.stage][0].wait(ring.parity);
    const Errand& errand = smem.errand[piece];
    if (errand.tiles == 0) break;
    smem.full[ring.stage][1].wait(ring.parity);
    std::uint32_t q[31][4];  // columns 512 .. 575, then 0 .. 431
    load_q<4>(q, first[kRope]);
#pragma unroll
    for (int block = 0; block < 6; ++block) load_q<4>(q + 4 + 4 * block, first[block]);
    load_q<3>(q + 28, first[6]);
    {
      const int row = threadIdx.x / 2, chunk = threadIdx.x % 2;
      *reinterpret_cast<uint4*>(smem.q_step[row / 8][chunk][row % 8]) =
          *reinterpret_cast<const uint4*>(&first[6][row][((6 + chunk) ^ (row & 7)) * 8]);
    }
    for (int i = threadIdx.x; i < static_cast<int>(sizeof smem.q / 16); i += 128)
      reinterpret_cast<uint4*>(smem.q)[i] = reinterpret_cast<const uint4*>(first[7])[i];
    fence_proxy_async();
    barrier_sync(kScores, 128);
    release<kCluster>(smem.used[ring.stage], 2);
    ring.advance();

    float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0};  // m is the maximum P is relative to
    for (int tile = 0, end = 0; !end; ++tile) {
      float s[kKeys / 2];
      const int stage = uniform(ring.stage);
      const auto& latent = smem.tile[stage];
      auto& full = smem.full[stage];
      full[0].wait(ring.parity);
      wgmma::pin(s);
      wgmma::fence();
#pragma unroll
      for (int i = 0; i < 4; ++i)
        wgmma::Mma<kKeys>::rs<bf16, wgmma::Major::k>(s, q[i], k_major(latent[kRope]) + i * 32,
                                                     i > 0);
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        const int block = (n + 4) % 8;
        if (n == 4) {
          full[1].wait(ring.parity);
          wgmma::fence();
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const Descriptor keys = k_major(latent[block]) + i * 32;
          constexpr auto kMajor = wgmma::Major::k;
          if (const int at = 4 + 4 * block + i; at < 31)
            wgmma::Mma<kKeys>::rs<bf16, kMajor>(s, q[at < 31 ? at : 0], keys, true);
          else
            wgmma::Mma<kKeys>::ss<bf16, kMajor>(
                s,
                block == 7 ? k_major(smem.q) + i * 32
                           : descriptor(shared_address(smem.q_step), 128, 256, 0),
                keys, true);
        }
      }
      wgmma::commit();
      const bool masked = tile >= errand.unmasked, last = tile + 1 == errand.tiles;
      wgmma::wait<0>();
      wgmma::pin(s);
      // All four warps have read the rope block, where P goes, and the step before has been read.
      if (count > 0) barrier_sync(kStepRead, kAll);
      else barrier_sync(kScores, 128);
      if (tile > 0) barrier_arrive(kScoresDone + count % 2, kAll);

      if (masked) {
        const int limit[2] = {sees(p, errand, fragment_row()) - tile * kKeys,
                              sees(p, errand, fragment_row() + 8) - tile * kKeys};
#pragma unroll
        for (int i = 0; i < kKeys / 2; ++i)
          if (fragment_column() + i / 4 * 8 + i % 2 >= limit[i / 2 % 2]) s[i] = -INFINITY;
      }
      float high[2][2], correction[2], base[2];  // by row and column parity
#pragma unroll
      for (int i = 0; i < kKeys / 2; ++i)
        high[i / 2 % 2][i % 2] = i < 4 ? s[i] : fmaxf(high[i / 2 % 2][i % 2], s[i]);
      bool moved = false;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float top = row_max(fmaxf(high[half][0], high[half][1]));
        const bool rises = (top - m[half]) * scale > 8;  // not where both are -inf
        correction[half] = exp2_approx(rises ? (m[half] - top) * scale : 0.f);
        m[half] = rises ? top : m[half];
        base[half] = m[half] == -INFINITY ? 0.f : m[half] * scale;
        l[half] *= correction[half];
        moved |= rises;
      }
      float sum[2][2] = {};
#pragma unroll
      for (int i = 0; i < kKeys / 2; ++i) {
        s[i] = exp2_approx(fmaf(s[i], scale, -base[i / 2 % 2]));
        sum[i / 2 % 2][i % 2] += s[i];
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) l[half] += sum[half][0] + sum[half][1];
      moved = __any_sync(~0u, moved);

      store_p(smem.tile[stage][kRope], s);
      Step& step = smem.step;
      if (threadIdx.x % 128 == 0)
        step.first = tile == 0, step.last = last, step.valid = errand.keys - tile * kKeys;
      if (threadIdx.x % 32 == 0) step.moved[threadIdx.x / 32] = moved;
      if (moved && threadIdx.x % 4 == 0)
        step.correction[fragment_row()] = correction[0],
        step.correction[fragment_row() + 8] = correction[1];
      if (last) {
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
      barrier_arrive(kPFull + count % 2, kAll);
      ++count;
      end = last;
      ring.advance();
    }
  }
  if (count > 0) barrier_sync(kStepRead, kAll);
  if (threadIdx.x % 128 == 0) smem.step.first = -1;
  barrier_arrive(kPFull + count % 2, kAll);
}

// ---- output -----------------------------------------------------------------------------------

/// P[:, 16·i ...] · C[16·i ..., 256·part ...], issued and committed.
__device__ __forceinline__ void issue_output(float (&o)[128], Descriptor probabilities,
                                             Descriptor values, bool first) {
  wgmma::pin(o);
  wgmma::fence();
#pragma unroll
  for (int i = 0; i < kKeys / 16; ++i)
    wgmma::Mma<256>::ss<bf16, wgmma::Major::mn>(o, probabilities + i * 32, values + i * 2048,
                                                i > 0 || !first);
  wgmma::commit();
}

/// Rows of a half past the last key: whatever the page holds there, 0 · it must be 0.
__device__ __forceinline__ void clear_rows(Block* half, int from, int part) {
  for (int i = threadIdx.x % 128; i < (kKeys - from) * 32; i += 128)
    *reinterpret_cast<uint4*>(&half[i / 8 % 4][from + i / 32][i % 8 * 8]) = make_uint4(0, 0, 0, 0);
  fence_proxy_async();
  barrier_sync(kOutput + part, 128);
}

template <int kCluster>
__device__ __forceinline__ void output(Smem& smem, const Params& p, int part) {
  const Step& step = smem.step;
  const bool feeds = part == 0 && threadIdx.x % 128 == 0;
  if (feeds) Feeder<kCluster>{smem, p}.start();
  barrier_sync(kStepRead, kAll);  // the first errand is written
  float o[128];
  int stage = 0, count = 0;
  for (int piece = 0;;) {
    barrier_sync(kPFull + count % 2, kAll);
    const int first = step.first, last = step.last, valid = step.valid;
    if (first < 0) break;
    const int moved = step.moved[threadIdx.x % 128 / 32];
    const float correction[2] = {step.correction[fragment_row()],
                                 step.correction[fragment_row() + 8]};
    const float factor[2] = {step.inverse[fragment_row()], step.inverse[fragment_row() + 8]};
    barrier_arrive(kStepRead, kAll);
    if (first) stage = (stage + 1) % kStages;  // q
    stage = uniform(stage);
    Block* half = &smem.tile[stage][4 * part];
    if (valid < kKeys) clear_rows(half, max(valid, 0), part);
    if (!first && moved) {
#pragma unroll
      for (int i = 0; i < 128; ++i) o[i] *= correction[i / 2 % 2];
    }
    const Descriptor probabilities = k_major(smem.tile[stage][kRope]);
    const Descriptor values = mn_major(half, kKeys);
    if (feeds && first) Feeder<kCluster>{smem, p}.refill();  // where q was
    ++count;
    if (!last) barrier_sync(kScoresDone + count % 2, kAll);
    issue_output(o, probabilities, values, first);
    wgmma::wait<0>();
    wgmma::pin(o);
    release<kCluster>(smem.used[stage], 1);
    if (feeds) Feeder<kCluster>{smem, p}.refill();
    stage = (stage + 1) % kStages;
    if (!last) continue;

    const Errand& errand = smem.errand[piece];
    piece = (piece + 1) % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = fragment_row() + 8 * half;
      const std::int64_t at = (errand.out + row) * kLatent + 256 * part;
      if (errand.whole) {
        store_row<bf16, 128, false>(p.o + at, o, half, factor[half], errand.row + row < p.rows);
      } else {
        float* out = p.part_o + at + fragment_column();
#pragma unroll
        for (int g = 0; g < 32; ++g)
          *reinterpret_cast<float2*>(out + 8 * g) = make_float2(
              o[4 * g + 2 * half] * factor[half], o[4 * g + 2 * half + 1] * factor[half]);
      }
    }
  }
}

template <int kCluster>
__global__ void __launch_bounds__(kThreads, 1) decode(const __grid_constant__ Params p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL  // wgmma and setmaxnreg exist on sm_90a alone
  extern __shared__ __align__(1024) std::uint8_t raw[];
  auto& smem = *reinterpret_cast<Smem*>(raw);
  if (threadIdx.x == 0) {
    for (auto& parts : smem.full)
      for (Mbarrier& full : parts) full.init(1);
    for (Mbarrier& used : smem.used) used.init(8 * kCluster);
    fence_barrier_init();
  }
  if constexpr (kCluster > 1) cluster_sync();
  else __syncthreads();
  const int warpgroup = warpgroup_index();
  if (warpgroup == 0) {
    take_registers<184>();
    scores<kCluster>(smem, p);
  } else {
    give_back_registers<160>();
    output<kCluster>(smem, p, warpgroup - 1);
  }
  if constexpr (kCluster > 1) {
    __syncwarp();
    cluster_sync();  // no block leaves while another may still write to it
  }
#endif
}

}  // namespace kvroof::kernels::mla
