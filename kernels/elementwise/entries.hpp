// Elementwise kernels: each file <name>.cu defines `Entry <name>_entry()`; entries.cpp lists them.
#pragma once
#include <vector>

#include "kernels/case.hpp"

namespace kvroof::kernels {

Entry quantise_entry();
Entry rms_norm_entry();
Entry rope_append_entry();
Entry swiglu_entry();

std::vector<Entry> elementwise_entries();

/// What an intermediate, written by one kernel and read by the next, keeps off HBM: twice its bytes
/// where L2 holds all that the first kernel writes, else nothing. (Inputs are read as streams and
/// leave L2 first.)
Bytes kept_on_chip(Bytes intermediate, Bytes written);

}  // namespace kvroof::kernels
