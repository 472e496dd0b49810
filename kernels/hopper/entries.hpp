// Kernels that need sm_90a: each file <name>.cu defines `Entry <name>_entry()`;
// entries.cpp lists them.
#pragma once
#include "kernels/case.hpp"

namespace kvroof::kernels {

Entry flash_v3_entry();
Entry flash_v3_fp8_entry();
Entry gqa_decode_tma_entry();
Entry mla_decode_tma_entry();
Entry mla_decode_tma_fp8_entry();
Entry flash_v4_entry();
Entry ladder_entry();

std::vector<Entry> hopper_entries();

}  // namespace kvroof::kernels
