#include "kernels/hopper/entries.hpp"

namespace kvroof::kernels {

std::vector<Entry> hopper_entries() {
  return {flash_v3_entry(),       flash_v3_fp8_entry(),   flash_v4_entry(),          ladder_entry(),
          gqa_decode_tma_entry(), mla_decode_tma_entry(), mla_decode_tma_fp8_entry()};
}

}  // namespace kvroof::kernels
