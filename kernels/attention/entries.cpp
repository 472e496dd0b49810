#include "kernels/attention/entries.hpp"

namespace kvroof::kernels {

std::vector<Entry> attention_entries() { return {}; }

}  // namespace kvroof::kernels
