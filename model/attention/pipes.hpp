// The pipes of one SM: cycles that one score tile needs on the tensor cores, the exponential unit
// and shared memory. Method of FlashAttention-4 (arXiv:2603.05451) section 3.1.
#pragma once
#include "model/attention/variant.hpp"

namespace kvroof::attention {

/// Rates per SM and clock.
struct PipeRates {
  double mma_flops = 4096;  // dense bf16: A100 2048, Hopper 4096, B200 8192; fp8 twice that
  double exps = 16;         // MUFU.EX2; B300 32
  double smem_bytes = 128;
  double fp32_lanes = 128;
};
inline constexpr PipeRates kHopperPipes{};
inline constexpr PipeRates kHopperFp8Pipes{.mma_flops = 8192};
inline constexpr PipeRates kBlackwellPipes{.mma_flops = 8192};

struct PipeCycles {
  double mma = 0, exp = 0, smem = 0;
  constexpr bool operator==(const PipeCycles&) const = default;
};

/// Bytes of one operand element as the tensor cores read it: what is quantised below `math` is
/// widened before the product.
double operand_bytes(MathType math);

/// Shared-memory bytes of one m x n tile.
///   Q·K^T, both operands in shared memory   e·(m·d_qk + (m / mma_rows)·n·d_qk)
///   P·V, P in registers or TMEM             e·(m / mma_rows)·n·d_v
///   P through shared memory                 + 2·e·m·n, stored once and read once
/// Left out: the epilogue of O, and filling the tiles (2·n·d·e a tile, written by TMA).
double tile_smem_bytes(const Tile& tile, double d_qk, double d_v, double e);

/// Forward cycles of one tile, d = d_qk = d_v:
///   mma = 4·m·n·d / mma_flops     exp = m·n / exps     smem = tile_smem_bytes / smem_bytes
/// `p_in_smem` overrides the tile's own flag.
PipeCycles pipe_cycles(const Tile& tile, double d, const PipeRates& rates, bool p_in_smem,
                       double e = 2);

}  // namespace kvroof::attention
