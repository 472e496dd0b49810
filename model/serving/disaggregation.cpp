#include "model/serving/disaggregation.hpp"

#include <algorithm>
#include <stdexcept>

namespace kvroof::serving {
namespace {

void need_stable(double load) {
  if (load >= 1)
    throw std::domain_error("the prefill queue grows without bound: load is 1 or more");
}

}  // namespace

Seconds kv_transfer_time(Tokens prompt, BytesPerToken kv, Bandwidth link) {
  return prompt * kv / link;
}

Seconds visible_transfer(Seconds transfer, Seconds prefill, int n_layers) {
  return transfer / n_layers + max(Seconds{}, transfer - prefill);
}

Seconds prefill_ttft(double rate, Seconds service) {
  const double load = rate * service.value;
  need_stable(load);
  return service + load * service / (2 * (1 - load));
}

Seconds prefill_ttft_inter_op(double rate, Seconds service) {
  const double load = rate * service.value;
  need_stable(load / 2);
  return service + load * service / (4 * (2 - load));
}

Seconds prefill_ttft_intra_op(double rate, Seconds service, double speedup) {
  const double load = rate * service.value;
  need_stable(load / speedup);
  return service / speedup + load * service / (2 * speedup * (speedup - load));
}

Seconds queue_wait(double rate, std::span<const Seconds> service) {
  double first = 0, second = 0;
  for (const Seconds s : service) first += s.value, second += s.value * s.value;
  const double n = static_cast<double>(std::max<std::size_t>(1, service.size()));
  first /= n, second /= n;
  need_stable(rate * first);
  return Seconds{rate * second / (2 * (1 - rate * first))};
}

double prefill_instances(double rate, Seconds prefill, double utilisation) {
  return rate * prefill.value / utilisation;
}

double decode_instances(double rate, double output, Seconds step, double batch,
                        double utilisation) {
  return rate * output * step.value / (batch * utilisation);
}

}  // namespace kvroof::serving
