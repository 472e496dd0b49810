#include "model/attention/flash_decoding.hpp"

namespace kvroof::attention {

Cost flash_decoding(const AttentionShape& x, const Formats& f, const OnChip& chip,
                    const Options& o) {
  return decode(x, f, chip, decode_plan(x, chip, o));
}

}  // namespace kvroof::attention
