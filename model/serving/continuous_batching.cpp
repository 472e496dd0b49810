#include "model/serving/continuous_batching.hpp"

#include <algorithm>

namespace kvroof::serving {

double resident_length(std::span<const Lengths> requests) {
  double held = 0, tokens = 0;
  for (const Lengths& r : requests) {
    const auto n = static_cast<double>(r.prompt), o = static_cast<double>(r.output);
    held += o * (n + o / 2);
    tokens += o;
  }
  return tokens > 0 ? held / tokens : 0;
}

double effective_batch(double max_num_seqs, Tokens pool, double s_res) {
  return std::min(max_num_seqs, pool.value / s_res);
}

double refill_gain(double static_utilisation) { return 1 / static_utilisation; }

double requests_in_system(double request_rate, Seconds time_in_system) {
  return request_rate * time_in_system.value;
}

Seconds closed_loop_step(Seconds decode_step, Seconds prefill, double concurrency, double output) {
  return decode_step + std::max(0.0, concurrency - 1) / output * prefill;
}

}  // namespace kvroof::serving
