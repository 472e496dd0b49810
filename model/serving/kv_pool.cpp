#include "model/serving/kv_pool.hpp"

namespace kvroof::serving {

void KvPool::evict() {
  while (used_ + idle_ > total_ && !lru_.empty()) {
    units_.erase(lru_.front());
    lru_.pop_front();
    idle_ -= unit_;
  }
}

void KvPool::take(std::int64_t blocks) {
  used_ += blocks;
  evict();
}

std::int64_t KvPool::present(std::span<const std::int64_t> hashes) const {
  std::int64_t n = 0;
  while (n < static_cast<std::int64_t>(hashes.size()) && units_.contains(hashes[n])) ++n;
  return n;
}

std::int64_t KvPool::cost(std::span<const std::int64_t> hashes) const {
  std::int64_t blocks = 0;
  for (const std::int64_t h : hashes) {
    const auto found = units_.find(h);
    if (found == units_.end() || found->second.users == 0) blocks += unit_;
  }
  return blocks;
}

void KvPool::use(std::span<const std::int64_t> hashes) {
  for (const std::int64_t h : hashes) {
    const auto [at, fresh] = units_.try_emplace(h);
    if (at->second.users++ > 0) continue;
    if (!fresh) {
      lru_.erase(at->second.where);
      idle_ -= unit_;
    }
    used_ += unit_;
  }
  evict();
}

void KvPool::release(std::span<const std::int64_t> hashes) {
  for (auto h = hashes.rbegin(); h != hashes.rend(); ++h) {
    Unit& u = units_.at(*h);
    if (--u.users > 0) continue;
    u.where = lru_.insert(lru_.end(), *h);
    used_ -= unit_;
    idle_ += unit_;
  }
}

}  // namespace kvroof::serving
