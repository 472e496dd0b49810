// Matrix products of a transformer, through cuBLASLt.
#pragma once
#include "kernels/case.hpp"

namespace kvroof::kernels {

std::vector<Entry> gemm_entries();

}  // namespace kvroof::kernels
