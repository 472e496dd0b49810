// The loads by name, for the files that measure with them; kernels/ceilings/entries.hpp lists the
// same kernels for everybody else. Args are documented where each load is defined.
#pragma once
#include "kernels/ceilings/load.hpp"

namespace kvroof::kernels {

Load read_load(const Args&);      // read.cu
Load write_load(const Args&);     // write.cu
Load copy_load(const Args&);      // copy.cu
Load smem_load(const Args&);      // smem.cu
Load fma_load(const Args&);       // fma.cu
Load ex2_load(const Args&);       // ex2.cu
Load wgmma_load(const Args&);     // wgmma_peak.cu
Load mma_sync_load(const Args&);  // mma_sync_peak.cu
Load tcgen05_load(const Args&);   // tcgen05_peak.cu

Entry hbm_read_entry();
Entry l2_read_entry();
Entry hbm_write_entry();
Entry hbm_copy_entry();
Entry smem_read_entry();
Entry fp32_fma_entry();
Entry ex2_entry();
Entry wgmma_peak_entry();
Entry mma_sync_peak_entry();
Entry tcgen05_peak_entry();

}  // namespace kvroof::kernels
