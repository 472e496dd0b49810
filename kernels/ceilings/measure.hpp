// The groups of ceilings, one function each; ceilings.cpp puts them in order.
#pragma once
#include "kernels/ceilings/ceilings.hpp"

namespace kvroof::kernels {

std::vector<Ceiling> measure_launch();        // launch.cu
std::vector<Ceiling> measure_grid_barrier();  // grid_barrier.cu
std::vector<Ceiling> measure_latency();       // latency.cu
std::vector<Ceiling> measure_pcie();          // pcie.cu
std::vector<Ceiling> measure_hbm();           // rates.cpp, as all below
std::vector<Ceiling> measure_l2();
std::vector<Ceiling> measure_smem();
std::vector<Ceiling> measure_math();
std::vector<Ceiling> measure_tensor();
std::vector<Ceiling> measure_tcgen05();

}  // namespace kvroof::kernels
