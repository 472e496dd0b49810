#include "model/attention/quantised_kv.hpp"

#include <algorithm>

namespace kvroof::attention {

Cost quantised_kv(const AttentionShape& x, const Formats& f, const OnChip& chip, const Options& o) {
  const double visible = visible_tokens(x), recent = std::min(o.high_precision, visible);
  const double per_token = x.b * x.h_kv * (x.d_qk + x.d_v);
  const Elements high{per_token * recent}, low{per_token * (visible - recent)};
  const Bytes cache = high * f.act_size() + low * f.kv_size();
  return decode(x, f, chip, decode_plan(x, chip, o), cache, low);
}

}  // namespace kvroof::attention
