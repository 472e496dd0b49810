#include "model/attention/mla_prefill.hpp"

#include "model/attention/flash_v3.hpp"

namespace kvroof::attention {

Cost mla_prefill(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  Formats expanded = f;
  expanded.kv = f.act;
  return flash_v3(x, expanded, chip, o);
}

}  // namespace kvroof::attention
