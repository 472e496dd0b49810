// Tiles, options and shared memory of the Hopper forward kernel (kernels/attention/flash_v3.cuh).
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "kernels/hopper/mbarrier.cuh"
#include "kernels/hopper/tma.cuh"
#include "kernels/hopper/wgmma.cuh"

namespace kvroof::kernels::flash_v3 {

using namespace hopper;

/// What FlashAttention-3 and -4 add to the plain loop, each on its own switch.
struct Options {
  bool specialised = true;  // a warpgroup of its own feeds the others; false: together.cuh
  bool ping_pong = true;    // warpgroups take turns: one's products under the other's softmax
  bool overlap = false;     // O += P·V also under the softmax of the same warpgroup
  bool chained = false;     // S waits for the last O += P·V, which frees P's registers
  bool persistent = true;   // a block takes tile after tile; false: a block per tile
  int stages = 2;           // tiles of K, and of V, in shared memory
  int poly_of_16 = 0;       // of every 16 exponentials, how many run on the FMA pipe
  bool max3 = false;        // row maxima by integer instructions of three operands
  bool splits = false;      // the last tiles may be cut by keys (Params::whole)
  int lazy = -1;  // rescale O only if a maximum grows by more than this power of 2; -1: always
  bool block_scales = false;  // FP8: scales of blocks (KeyScale), not of heads
};

/// kRows = 64 · kWarpgroups queries by kKeys keys.
template <class T_, int kDqk_, int kDv_, int kWarpgroups_, int kKeys_,
          Options kOptions_ = Options{}>
struct Tile {
  using T = T_;
  static constexpr Options kOptions = kOptions_;
  static constexpr bool kFp8 = sizeof(T) == 1;
  using Out = std::conditional_t<kFp8, __nv_bfloat16, T>;
  static constexpr int kDqk = kDqk_, kDv = kDv_, kKeys = kKeys_;
  static constexpr int kRowElements = 128 / sizeof(T);      // of Q and K in one swizzled row
  static constexpr int kVSpan = kKeys % 64 == 0 ? 64 : 32;  // keys in a swizzled row of V^T, FP8
  static constexpr int kWarpgroups = kWarpgroups_, kRows = 64 * kWarpgroups;
  static constexpr bool kPingPong = kOptions.ping_pong, kOverlap = kOptions.overlap;
  static constexpr int kStages = kOptions.stages;
  // A second Q buffer where it fits: the next tile's queries arrive under the present one.
  static constexpr int kQBytes = kRows * kDqk * sizeof(T),
                       kKvBytes = kStages * kKeys * (kDqk + kDv) * sizeof(T);
  static constexpr int kQStages = 2 * kQBytes + kKvBytes <= 224 * 1024 ? 2 : 1;
  static constexpr int kOperandRegisters = kKeys * sizeof(T) / 8;  // of P, a thread
  static constexpr int kThreads = 128 * (kWarpgroups + 1);
  // 65,536 registers: 2 consumers (24 + 2 · 240) · 128, 3 consumers (32 + 3 · 160) · 128
  static constexpr int kProducerRegisters = kWarpgroups == 2 ? 24 : 32;
  static constexpr int kConsumerRegisters = kWarpgroups == 2 ? 240 : 160;
  // Where O is large it is rescaled ahead of P·V, under Q·K^T, instead of after it.
  static constexpr bool kRescaleFirst = kDv > 128;
};

/// Where a tile lies and which keys it needs.
struct Place {
  int b, h, row;     // first query row
  int key_tiles;     // end of the K/V tiles to visit; 0: no tile is left
  int first_masked;  // tiles at and above this index need a mask
  int first;         // the first K/V tile, and
  int part;          // which partial result this is; -1: the whole one
};

template <class Tile>
struct Smem {
  using T = typename Tile::T;
  static constexpr int kC = Tile::kRowElements;
  alignas(1024) T q[Tile::kQStages][Tile::kDqk / kC][Tile::kRows][kC];
  alignas(1024) T k[Tile::kStages][Tile::kDqk / kC][Tile::kKeys][kC];
  // 16-bit: [d / 64][keys][64]; FP8: transposed, [keys / kVSpan][d][kVSpan]
  alignas(1024) T v[Tile::kStages][Tile::kKeys * Tile::kDv];
  Mbarrier q_full[Tile::kQStages], q_free[Tile::kQStages];
  Mbarrier k_full[Tile::kStages], k_free[Tile::kStages];
  Mbarrier v_full[Tile::kStages], v_free[Tile::kStages];
  Place place[Tile::kQStages];  // of the tile that Q belongs to, published with q_full
};

/// FP8 with block scales: what the softmax needs to know of a tile of keys. Its stored scores stand
/// for k·S. The scale of V is a factor of P: log2_v is added to the exponents, so that O comes out
/// in units of V, and row sums take it back out.
struct alignas(16) KeyScale {
  float k = 1, log2_v = 0, inverse_v = 1, unused = 0;
};

struct Params {
  CUtensorMap q, k, v;
  void* o;
  float* lse;                                       // nullptr: not wanted
  std::int64_t o_stride_b, o_stride_h, o_stride_s;  // elements
  int s_q, s_kv, h_q, group;                        // group = h_q / h_kv
  float scale;
  const float *q_scale, *k_scale, *v_scale;  // FP8: [h_q], [h_kv], [h_kv]; value = scale · stored
  int q_tiles;                               // per head
  int heads;                                 // b · h_q
  bool longest_first;                        // false: tiles of a section from the first row on
  int section;       // heads whose K/V stay in L2 together: tiles are ordered section by section
  int whole, parts;  // tiles from `whole` on are cut into `parts` ranges of keys
  float *part_o, *part_lse2;  // [tile - whole, parts, kRows, kDv] and [.., kRows], base 2
  unsigned* ticket;           // next tile to hand out; 0 between launches
  // Block scales: q_scale is [b, h_q, q_blocks], a scale for each 64 rows; and
  const KeyScale* key_scales;  // [b, h_kv, key_blocks], one for each tile of keys
  int q_blocks, key_blocks;
};

}  // namespace kvroof::kernels::flash_v3
