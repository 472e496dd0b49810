// Ceiling micro-kernels as catalogue rows: each file <name>.cu defines `Entry <name>_entry()`.
#pragma once
#include "kernels/case.hpp"

namespace kvroof::kernels {

std::vector<Entry> ceiling_entries();

}  // namespace kvroof::kernels
