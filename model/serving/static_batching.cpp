#include "model/serving/static_batching.hpp"

#include <algorithm>

namespace kvroof::serving {

double harmonic(int n) {
  double sum = 0;
  for (int i = n; i >= 1; --i) sum += 1.0 / i;  // smallest first: exact to the last digit
  return sum;
}

double static_utilisation_exponential(int batch) { return 1 / harmonic(batch); }

double static_utilisation(std::span<const Lengths> requests, int batch) {
  double useful = 0, slots = 0;
  for (std::size_t first = 0; first + batch <= requests.size(); first += batch) {
    std::int64_t longest = 0;
    for (const Lengths& r : requests.subspan(first, batch)) {
      useful += static_cast<double>(r.output);
      longest = std::max(longest, r.output);
    }
    slots += static_cast<double>(batch * longest);
  }
  return slots > 0 ? useful / slots : 0;
}

Seconds batch_forming_delay(double request_rate, int batch) {
  return Seconds{(batch - 1) / (2 * request_rate)};
}

}  // namespace kvroof::serving
