#include "model/attention/sliding_window.hpp"

#include <algorithm>

#include "model/attention/flash_v3.hpp"

namespace kvroof::attention {

double rolling_cache_tokens(double s_kv, double window, double sinks) {
  return window > 0 ? std::min(s_kv, window + sinks) : s_kv;
}

Cost sliding_window(const AttentionShape& x, const Formats& f, const OnChip& chip,
                    const Options& o) {
  if (x.s_q > 1) return flash_v3(x, f, chip, o);
  return decode(x, f, chip, decode_plan(x, chip, o, o.sinks), o.sinks);
}

}  // namespace kvroof::attention
