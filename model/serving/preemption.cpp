#include "model/serving/preemption.hpp"

#include <cmath>

namespace kvroof::serving {

Seconds recompute_time(double params, double tokens, Throughput effective) {
  return Flops{2 * params * tokens} / effective;
}

Seconds swap_time(BytesPerToken kv, Tokens tokens, Bandwidth host) {
  return 2 * (kv * tokens / host);
}

Seconds swap_time(BytesPerToken kv, Tokens tokens, Bandwidth host, double block,
                  Seconds per_transfer) {
  const double transfers = 2 * std::ceil(tokens.value / block);
  return swap_time(kv, tokens, host) + transfers * per_transfer;
}

bool can_thrash(Tokens final_demand, Tokens pool) { return final_demand > pool; }

}  // namespace kvroof::serving
