#include <algorithm>

#include "kernels/attention/entries.hpp"
#include "kernels/blackwell/entries.hpp"
#include "kernels/ceilings/entries.hpp"
#include "kernels/elementwise/entries.hpp"
#include "kernels/gemm/entries.hpp"
#include "kernels/hopper/entries.hpp"
#include "kernels/step/step.hpp"

namespace kvroof::kernels {

const std::vector<Entry>& catalogue() {
  static const std::vector<Entry> all = [] {
    std::vector<Entry> entries;
    for (auto& group : {ceiling_entries(), gemm_entries(), attention_entries(),
                        elementwise_entries(), hopper_entries()})
      entries.insert(entries.end(), group.begin(), group.end());
    entries.push_back(flash_v4_tcgen05_entry());
    entries.push_back(decode_step_entry());
    entries.push_back(prefill_step_entry());
    return entries;
  }();
  return all;
}

const Entry* find_entry(std::string_view name) {
  const auto& all = catalogue();
  const auto it =
      std::find_if(all.begin(), all.end(), [&](const Entry& e) { return e.name == name; });
  return it == all.end() ? nullptr : &*it;
}

}  // namespace kvroof::kernels
