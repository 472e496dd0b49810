// The block pool of one engine: blocks in use, blocks kept for their prefix, free blocks.
#pragma once
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>

namespace kvroof::serving {

/// Blocks are counted, not numbered: no formula depends on which block it is. Cached prefixes are
/// units of `unit` blocks, one per hash; idle ones (no user) are evicted oldest first, and since a
/// request gives its units back from the end, the leaf goes before the root.
class KvPool {
 public:
  KvPool() = default;
  explicit KvPool(std::int64_t total, std::int64_t unit = 1) : total_(total), unit_(unit) {}

  std::int64_t total() const { return total_; }
  std::int64_t used() const { return used_; }
  std::int64_t idle() const { return idle_; }
  std::int64_t available() const { return total_ - used_; }  // idle blocks can be evicted

  /// The caller has checked available().
  void take(std::int64_t blocks);
  void give_back(std::int64_t blocks) { used_ -= blocks; }

  /// Leading hashes that are present.
  std::int64_t present(std::span<const std::int64_t> hashes) const;
  /// Blocks that using all these hashes would take from available().
  std::int64_t cost(std::span<const std::int64_t> hashes) const;
  void use(std::span<const std::int64_t> hashes);
  void release(std::span<const std::int64_t> hashes);

 private:
  struct Unit {
    std::int64_t users = 0;
    std::list<std::int64_t>::iterator where;  // in lru_ while users == 0
  };
  void evict();

  std::int64_t total_ = 0, unit_ = 1, used_ = 0, idle_ = 0;
  std::unordered_map<std::int64_t, Unit> units_;
  std::list<std::int64_t> lru_;  // oldest first
};

}  // namespace kvroof::serving
