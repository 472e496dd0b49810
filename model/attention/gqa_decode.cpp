#include "model/attention/gqa_decode.hpp"

namespace kvroof::attention {

Cost gqa_decode(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  Options unsplit = o;
  unsplit.splits = 1;
  return decode(x, f, chip, decode_plan(x, chip, unsplit));
}

}  // namespace kvroof::attention
