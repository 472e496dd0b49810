// What every attention variant is given and what it answers; and the list of variants by name.
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "model/on_chip.hpp"
#include "model/op.hpp"
#include "model/shape.hpp"

namespace kvroof::attention {

/// Formats of one attention call: q and o, the K/V cache, and the tensor path of both products.
struct Formats {
  Dtype act = Dtype::bf16, kv = Dtype::bf16;
  MathType math = MathType::bf16;
  constexpr ElementSize act_size() const { return element_size(act); }
  constexpr ElementSize kv_size() const { return element_size(kv); }
  constexpr bool operator==(const Formats&) const = default;
};

/// The tile a kernel runs with: m rows of Q by n keys; and how its products are issued.
///   m = 1        no tensor cores: products run as FMA on the FP32 pipe (vLLM's paged kernels)
///   mma_rows     rows of Q that share one read of a K/V operand from shared memory:
///                64 wgmma, 128 tcgen05, the rows of one warp with mma.sync
///   row_lanes    lanes that each compute a row's correction exp(m_old - m_new): 1 by the papers'
///                count, 4 in an MMA accumulator layout
///   row_ends     XU operations that end a row: 1 / l by each of the lanes that hold it (log l is a
///                polynomial); 0 by the papers' count
///   merged_warps decode: warps of a block that walk keys of their own and whose partial results
///                of a row meet at the end; 0: a row stays in one warp, or the papers' count
///   col_groups   warps that share the keys and the columns of O of the same rows: each of them
///                reads all of Q and P
///   overlap      see Execution::pipe_overlap
struct Tile {
  int m = 128, n = 128;
  int ctas_per_sm = 1;
  bool p_in_smem = false;  // P passes through shared memory between the products
  int mma_rows = 64;
  int row_lanes = 1;
  int row_ends = 0;
  int merged_warps = 0;
  bool mma_sync = false;
  int col_groups = 1;
  double overlap = 0;
  constexpr bool operator==(const Tile&) const = default;
};

using kvroof::OnChip;

/// Options that only some variants read; each variant's docstring names those it uses.
struct Options {
  std::optional<Tile> tile;         // nullopt: the variant's own choice for d_qk
  double block_size = 16;           // paged: tokens per page
  double splits = 0;                // split-KV: 0 = the variant's heuristic
  double sparsity = 1;              // block-sparse: share of blocks that are computed
  std::optional<double> kept_keys;  // block-sparse: share of K/V tiles that some row keeps;
                                    // nullopt: of blocks drawn at random
  double shared_prefix = 0;         // cascade: tokens shared by all requests of the batch
  double sinks = 0;                 // sliding window: first tokens that stay visible
  double top_k = 2048;              // sparse selection: keys attended per query
  double high_precision = 0;        // mixed-precision KV: newest tokens kept in `act` format
  std::optional<Tile> recent_tile;  // mixed-precision KV: of the newest tokens' own kernel
  std::optional<Dtype> v_format;    // mixed-precision KV: V's format where it is not K's
  double sram_bytes = 196608;       // flash_v1: on-chip memory M of the paper (A100: 192 KiB)
  bool initial_state = true;        // flash_v1: the first pass reads O, l, m, as in Algorithm 1
  bool backward = false;            // naive, flash_v1, flash_v2: the backward pass
  bool lse = true;  // prefill: fp32 log-sum-exp per row is written, as FlashAttention does
  double unfused_passes = 0;  // naive: elementwise kernels (mask, dropout, scale) over the scores
  bool online = true;         // softmax: online (two reads of a row) or safe (three)
  bool packed_group =
      true;              // decode: the h_q / h_kv heads of a group share a CTA; false: a CTA a head
  double partition = 0;  // paged v2: tokens per partition (vLLM: 512); 0: split heuristic
  int paged_version = 2;  // paged: 1 = one CTA walks the cache, 2 = partitions and a combine
  std::optional<double> poly_share;  // flash_v4: share of exponentials computed as a polynomial
  double rescale_share = 1;  // flash_v4: share of tiles whose maximum rises enough to rescale
  // flash_v3_fp8: a scale for each 64 rows of Q and 128 rows of K and V; Q, K, V quantised from
  // BF16 first; Q and K rotated before that
  bool block_scales = false, from_bf16 = false, incoherent = false;
  bool tree_mask = false;   // ragged: a mask among the new tokens is read (speculative token tree)
  double index_heads = 64;  // sparse selection: heads and head size of the indexer
  double index_dim = 128;
  double chunk = 64;        // linear attention: tokens per chunk
  bool delta_rule = false;  // linear attention: gated delta rule instead of plain sums
};

///   handed_over   part of read + written that is an intermediate small enough for this L2 to keep
///                 (scores, partial results): it may never reach HBM
///   kept          see Op::kept
struct Cost {
  Work work;
  Execution execution;
  Bytes handed_over;
  Kept kept;
};

/// part: a step of attention that is no attention by itself
enum class Phase { prefill, decode, both, part };

/// One row of the table in README: how to find and evaluate a variant.
struct Variant {
  std::string_view name;  // file stem in model/, kernels/ and tests/attention
  Phase phase;
  std::string_view title;   // one line for people
  std::string_view source;  // paper and equation
  Cost (*cost)(const AttentionShape&, const Formats&, const OnChip&, const Options&);
};

std::span<const Variant> variants();
/// nullptr for an unknown name.
const Variant* find_variant(std::string_view name);

}  // namespace kvroof::attention
