// What the kernels of a chain find in L2 of what kernels before them wrote.
#pragma once
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "model/gemm_reread.hpp"
#include "model/on_chip.hpp"

namespace kvroof {

/// What the loads of a kernel do to L2.
///   once         each line is read by one SM
///   by_many      by SMs of both halves
///   evict_first  once, with the hint that it will not be needed again (ld.global.cs, TMA's policy)
enum class Reading { once, by_many, evict_first };

/// What a byte read takes of L2 in bytes written, which lie in one half alone. Read by one SM it
/// lies 1.5 times on average, once more where the other half owns it; read from both halves twice.
/// What is read as evict_first makes room for itself. Fitted: 0.7, on the chains of l2_dirty.csv.
constexpr double l2_taken(Reading how) {
  return how == Reading::once ? 0.7 : how == Reading::by_many ? 0.7 * 2 / 1.5 : 0;
}

/// Share of what one kernel wrote that another still finds after `between` bytes by l2_taken():
///   1 / (1 + (between / 1.26·l2_effective)^9)
/// Fitted on the 150 chains of l2_dirty.csv whose first kernel writes: off by 0.07 in the mean
/// (root of squares). What was since read as evict_first stays for 0.36 of that; fitted on K and V
/// between RoPE and attention, prompts of 4096 tokens of a Llama-3.2-1B.
constexpr double l2_hit_written(Bytes between, const OnChip& chip, bool evict_first = false) {
  constexpr double kHalf = 1.26, kEvictFirst = 0.36;
  const double x = between / ((evict_first ? kEvictFirst : 1) * kHalf * chip.l2_effective),
               x3 = x * x * x;
  return 1 / (1 + x3 * x3 * x3);
}

/// Share of lines that one SM rewrites again and again which L2 still holds unwritten when it comes
/// back after `between` bytes, its own lines and what others read in between by l2_taken():
///   1 / (1 + (between / 1.36·l2_effective)^10)
/// Less than l2_hit_own_rows(): a line that is only read is lost with its last copy, a written one
/// leaves when the half that owns it needs room. Fitted on the DRAM writes of ten shapes of
/// flash_v1 outside of its catalogue, l2_dirty.csv; there also lines that are only rewritten, half
/// of which have left at 32 MB because no more than 30 MB of L2 wait to be written.
constexpr double l2_hit_rewritten(Bytes between, const OnChip& chip) {
  const double x = between / (1.36 * chip.l2_effective), x2 = x * x, x4 = x2 * x2;
  return 1 / (1 + x2 * x4 * x4);
}

/// One tensor that a kernel reads; without a name: no kernel of the chain has touched it before.
struct TensorRead {
  std::string_view tensor;
  Bytes bytes;
  Reading how = Reading::once;
};
struct TensorWrite {
  std::string_view tensor;
  Bytes bytes;
};

/// One kernel of a chain, as L2 sees it. Rows are those of its tensors, in memory one after
/// another.
///   raster     of a product: tiles are stored when their wave ends, rows of the first operand read
///              in the first strip
///   scattered  another order than that of rows (attention goes head by head); else row by row
struct Pass {
  std::vector<TensorRead> reads;
  std::vector<TensorWrite> writes;
  std::optional<Raster> raster;
  bool scattered = false;
};

/// Bytes of each pass's reads that L2 still holds. A line that the kernel at j touched last, t of
/// its way along, is read by the kernel at i at u of its own way, after
///   (1 - t)·taken(j) + taken(j + 1) + … + taken(i - 1) + u·taken(i)       taken: Σ l2_taken·bytes
/// Its mean l2_hit_written() over the rows and, for products, over strips and steps along k.
std::vector<Bytes> found_in_l2(std::span<const Pass> passes, const OnChip& chip);

}  // namespace kvroof
