// Portable attention kernels: each file <name>.cu defines `Entry <name>_entry()`; entries.cpp lists
// them.
#pragma once
#include "kernels/case.hpp"

namespace kvroof::kernels {

std::vector<Entry> attention_entries();

}  // namespace kvroof::kernels
