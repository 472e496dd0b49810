#include "kernels/blackwell/device.hpp"

#include <string>

#include "kernels/device.hpp"

namespace kvroof::kernels {

bool runs_sm100a() { return has_gpu() && gpu().major == 10 && gpu().minor == 0; }

void require_sm100a(const char* kernel) {
  if (!runs_sm100a())
    throw NotOnThisGpu(std::string(kernel) +
                       ": is sm_100a code (tcgen05) and needs a GPU of compute capability 10.0; "
                       "this is " +
                       gpu().name + " (" + std::to_string(gpu().major) + "." +
                       std::to_string(gpu().minor) + ")");
}

}  // namespace kvroof::kernels
