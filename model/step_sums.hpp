// A step from the sums over its ops, and a service from its steps: once, for one point (double) and
// for many at once (an array of points, N with max() and select()).
#pragma once
#include <type_traits>

#include "model/units.hpp"

namespace kvroof {

template <class N>
N larger(const N& a, const N& b) {
  if constexpr (std::is_floating_point_v<N>) return a < b ? b : a;
  else return a.max(b);
}
template <class N>
N at_least(const N& a, double b) {
  if constexpr (std::is_floating_point_v<N>) return a < b ? b : a;
  else return a.max(b);
}
/// x where `sign` is above zero, else zero.
template <class N>
N where_positive(const N& sign, const N& x) {
  if constexpr (std::is_floating_point_v<N>) return sign > 0 ? x : 0;
  else return (sign > 0.0).select(x, 0.0);
}

/// Sums over the ops of a step, seconds. Collectives stand apart: they may hide under the others.
template <class N>
struct StepSums {
  N floor, busy, link_floor, link_expected;

  /// Wire time counts only where it exceeds everything else, for it may overlap.
  N link_excess() const { return at_least<N>(link_floor - floor, 0); }
  N step_floor() const { return floor + link_excess(); }
  /// Communication that does not hide.
  N exposed(bool overlap_links) const {
    return overlap_links ? at_least<N>(link_expected - busy, 0) : link_expected;
  }
  N step_expected(bool overlap_links) const { return busy + exposed(overlap_links); }

  StepSums& operator+=(const StepSums& o) {
    floor += o.floor, busy += o.busy;
    link_floor += o.link_floor, link_expected += o.link_expected;
    return *this;
  }
};

/// What a service is besides its steps.
///   stages     of the pipeline that a prompt passes; each is busy with it for its share only
///   lock_step  the batch is prefilled and decoded together; otherwise requests come one by one
struct ServiceTerms {
  double data = 1, stages = 1, gpus = 1;
  double step_base = 0, step_per_request = 0;  // host seconds
  double gpu_hour_usd = 0;
  bool lock_step = false;
};

/// Seconds, per second and dollars; N as in StepSums.
template <class N>
struct ServiceTimes {
  N host, ttft, interference, tpot, e2e, request_rate, output_rate, usd_per_million_output_tokens;
};

/// `batch` requests in flight over all replicas, `output` tokens each. Seconds of one decode step,
/// of one prompt `alone` and of the prompts `together` (lock step).
///   host         = step_base + batch/data · step_per_request       ttft = alone + host
///   interference = (batch/data − 1)/output · (alone + host)/stages: while one request generates
///                  its tokens, each of the others on its replica prefills once
///   tpot         = decode + host + interference
///   e2e          = ttft + interference + (output − 1)·tpot: the first token waits for the others'
///                  prompts like any other, so that no request is served faster than its prefill
///                  (lock step: the prompts together, then output − 1 steps)
///   rates by Little's law
template <class N>
ServiceTimes<N> service_times(const ServiceTerms& s, const N& batch, const N& output,
                              const N& decode, const N& alone, const N& together) {
  ServiceTimes<N> t;
  const N replica_batch = batch / s.data;
  t.host = s.step_base + replica_batch * s.step_per_request;
  t.ttft = alone + t.host;
  const N others = at_least<N>(replica_batch - 1.0, 0);
  t.interference = where_positive<N>(s.lock_step ? N(0.0 * output) : output,
                                     others / output * t.ttft / s.stages);
  t.tpot = decode + t.host + t.interference;
  const N first = s.lock_step ? N(together + t.host) : N(t.ttft + t.interference);
  t.e2e = first + at_least<N>(output - 1.0, 0) * t.tpot;
  t.request_rate = batch / t.e2e;
  t.output_rate = s.lock_step ? N(batch / t.tpot) : N(batch * output / t.e2e);
  t.usd_per_million_output_tokens = s.gpus * s.gpu_hour_usd / 3600.0 / t.output_rate * mega;
  return t;
}

}  // namespace kvroof
