// Elementwise kernels: each file <name>.cu defines `Entry <name>_entry()`; entries.cpp lists them.
#pragma once
#include <vector>

#include "kernels/case.hpp"

namespace kvroof::kernels {

Entry rms_norm_entry();
Entry rope_append_entry();
Entry swiglu_entry();

std::vector<Entry> elementwise_entries();

/// What an intermediate of this size, written by one kernel and read by the next, keeps off HBM:
/// twice its bytes where L2 holds it, else nothing.
Bytes kept_on_chip(Bytes intermediate);

}  // namespace kvroof::kernels
