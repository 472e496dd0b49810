#include "model/serving/buddy_pool.hpp"

#include <bit>

namespace kvroof::serving {

BuddyPool::BuddyPool(std::int64_t blocks) : free_(64) {
  std::int64_t address = 0;
  for (std::int64_t left = blocks; left > 0;) {
    const auto piece = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(left)));
    if (largest_ == 0) largest_ = piece;
    free_[static_cast<std::size_t>(order_of(piece))].insert(address);
    address += piece, left -= piece;
  }
}

int BuddyPool::order_of(std::int64_t blocks) {
  return std::countr_zero(std::bit_ceil(static_cast<std::uint64_t>(blocks)));
}

bool BuddyPool::has(int order) const {
  for (auto o = static_cast<std::size_t>(order); o < free_.size(); ++o)
    if (!free_[o].empty()) return true;
  return false;
}

std::int64_t BuddyPool::take(int order) {
  auto from = static_cast<std::size_t>(order);
  while (free_[from].empty()) ++from;
  const std::int64_t address = *free_[from].begin();
  free_[from].erase(free_[from].begin());
  for (; from > static_cast<std::size_t>(order); --from)  // the upper halves stay free
    free_[from - 1].insert(address + (std::int64_t{1} << (from - 1)));
  return address;
}

void BuddyPool::give_back(std::int64_t address, int order) {
  auto o = static_cast<std::size_t>(order);
  while (free_[o].erase(address ^ (std::int64_t{1} << o)) > 0) address &= ~(std::int64_t{1} << o++);
  free_[o].insert(address);
}

}  // namespace kvroof::serving
