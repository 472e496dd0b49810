#include "kernels/ceilings/ceilings.hpp"

#include "kernels/ceilings/entries.hpp"
#include "kernels/ceilings/loads.hpp"
#include "kernels/ceilings/measure.hpp"

namespace kvroof::kernels {

std::vector<Entry> ceiling_entries() {
  return {hbm_read_entry(),   hbm_write_entry(),     hbm_copy_entry(),    l2_read_entry(),
          l2_add_entry(),     smem_read_entry(),     fp32_fma_entry(),    ex2_entry(),
          wgmma_peak_entry(), mma_sync_peak_entry(), tcgen05_peak_entry()};
}

const std::vector<CeilingGroup>& ceiling_groups() {
  static const std::vector<CeilingGroup> groups{
      {"launch", "Starting a kernel", measure_launch},
      {"barrier", "A barrier across all SMs", measure_grid_barrier},
      {"pcie", "Host link", measure_pcie},
      {"latency", "Load latency", measure_latency},
      {"hbm", "HBM bandwidth", measure_hbm},
      {"l2", "L2 read bandwidth against footprint", measure_l2},
      {"smem", "Shared memory", measure_smem},
      {"math", "FP32 and exponentials", measure_math},
      {"tensor", "Tensor cores", measure_tensor},
      {"tcgen05", "Tensor cores through tcgen05, a kernel never run before", measure_tcgen05},
  };
  return groups;
}

}  // namespace kvroof::kernels
