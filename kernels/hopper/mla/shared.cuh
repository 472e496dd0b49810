// What the warpgroups of MLA decode share: sizes, the ring, errands, parameters.
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
constexpr int kAll = kThreads;  // of the scores and output warpgroups

/// The same in all lanes, and known to be: what follows from it can live in uniform registers.
__device__ __forceinline__ int uniform(int x) { return __shfl_sync(~0u, x, 0); }

}  // namespace kvroof::kernels::mla
