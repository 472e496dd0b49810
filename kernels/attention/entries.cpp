#include "kernels/attention/entries.hpp"

namespace kvroof::kernels {

std::vector<Entry> attention_entries() {
  return {
      naive_entry(),        softmax_entry(),     flash_v1_entry(),       flash_v2_entry(),
      block_sparse_entry(), ragged_entry(),      gqa_decode_entry(),     flash_decoding_entry(),
      paged_decode_entry(), cascade_entry(),     quantised_kv_entry(),   sliding_window_entry(),
      mla_decode_entry(),   mla_prefill_entry(), flash_backward_entry(), naive_backward_entry()};
}

}  // namespace kvroof::kernels
