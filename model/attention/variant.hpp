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

/// The tile a kernel runs with: rows of Q by keys.
struct Tile {
  int m = 128, n = 128;
  int ctas_per_sm = 1;
  bool p_in_smem = false;  // P passes through shared memory between the products
  constexpr bool operator==(const Tile&) const = default;
};

using kvroof::OnChip;

/// Options that only some variants read; each variant's docstring names those it uses.
struct Options {
  std::optional<Tile> tile;    // nullopt: the variant's own choice for d_qk
  double block_size = 16;      // paged: tokens per page
  double splits = 0;           // split-KV: 0 = the variant's heuristic
  double sparsity = 1;         // block-sparse: share of blocks that are computed
  double shared_prefix = 0;    // cascade: tokens shared by all requests of the batch
  double sinks = 0;            // sliding window: first tokens that stay visible
  double top_k = 2048;         // sparse selection: keys attended per query
  double high_precision = 0;   // mixed-precision KV: newest tokens kept in `act` format
  double sram_bytes = 196608;  // flash_v1: on-chip memory M of the paper (A100: 192 KiB)
  bool backward = false;       // naive, flash_v1, flash_v2: the backward pass
};

struct Cost {
  Work work;
  Execution execution;
};

enum class Phase { prefill, decode, both };

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
