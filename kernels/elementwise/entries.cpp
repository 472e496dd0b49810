#include "kernels/elementwise/entries.hpp"

#include "kernels/split_kv.hpp"

namespace kvroof::kernels {

std::vector<Entry> elementwise_entries() {
  return {rms_norm_entry(), rope_append_entry(), swiglu_entry(), quantise_entry()};
}

Bytes kept_on_chip(Bytes intermediate, Bytes written) {
  return written <= on_chip().l2_effective ? 2 * intermediate : Bytes{};
}

}  // namespace kvroof::kernels
