// Attention kernels that need sm_100a; tcgen05_peak stands with the ceilings.
#pragma once
#include "kernels/case.hpp"

namespace kvroof::kernels {

Entry flash_v4_tcgen05_entry();  // kernels/attention/flash_v4_tcgen05.cu

}  // namespace kvroof::kernels
