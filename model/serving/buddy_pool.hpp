// The buddy allocator: blocks come in powers of two, and halves that are free again merge.
#pragma once
#include <cstdint>
#include <set>
#include <vector>

namespace kvroof::serving {

/// Addresses of a pool under buddy allocation (Knowlton 1965), which is how serving systems before
/// paging kept a request's cache contiguous. What rounding wastes inside a piece and what lies
/// between pieces (external fragmentation) both show. A pool that is no power of two starts as the
/// powers that add up to it.
class BuddyPool {
 public:
  explicit BuddyPool(std::int64_t blocks);

  /// The power of two that holds this many blocks.
  static int order_of(std::int64_t blocks);
  std::int64_t largest() const { return largest_; }  // blocks of the largest piece there can be
  bool has(int order) const;
  /// The lowest address of a free piece of 2^order blocks; the caller has checked has().
  std::int64_t take(int order);
  void give_back(std::int64_t address, int order);

 private:
  std::int64_t largest_ = 0;
  std::vector<std::set<std::int64_t>> free_;  // [order] -> addresses
};

}  // namespace kvroof::serving
