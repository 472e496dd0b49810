#include "kernels/hopper/entries.hpp"

namespace kvroof::kernels {

std::vector<Entry> hopper_entries() { return {}; }

}  // namespace kvroof::kernels
