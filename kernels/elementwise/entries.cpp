#include "kernels/elementwise/entries.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/device.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/split_kv.hpp"

namespace kvroof::kernels {

std::vector<Entry> elementwise_entries() {
  return {rms_norm_entry(), rope_append_entry(), swiglu_entry(), quantise_entry()};
}

Bytes kept_on_chip(Bytes intermediate, Bytes written) {
  return written <= on_chip().l2_effective ? 2 * intermediate : Bytes{};
}

Grid grid_of(double blocks, int threads) {
  constexpr int kThreadsPerSm = 2048, kBlocksPerSm = 32;
  const double each = std::ceil(blocks / gpu().num_sms);
  const int room = std::min(kThreadsPerSm / threads, kBlocksPerSm);
  return {.blocks = blocks, .per_sm = static_cast<int>(std::min<double>(each, room))};
}

}  // namespace kvroof::kernels
