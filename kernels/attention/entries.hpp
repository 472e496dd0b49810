// Portable attention kernels: each file <name>.cu defines `Entry <name>_entry()`;
// entries.cpp lists them.
#pragma once
#include <vector>

#include "kernels/case.hpp"

namespace kvroof::kernels {

Entry block_sparse_entry();
Entry cascade_entry();
Entry flash_backward_entry();
Entry flash_decoding_entry();
Entry flash_v1_entry();
Entry flash_v2_entry();
Entry gqa_decode_entry();
Entry mla_decode_entry();
Entry mla_prefill_entry();
Entry naive_backward_entry();
Entry naive_entry();
Entry paged_decode_entry();
Entry quantised_kv_entry();
Entry ragged_entry();
Entry sliding_window_entry();
Entry softmax_entry();

std::vector<Entry> attention_entries();

}  // namespace kvroof::kernels
