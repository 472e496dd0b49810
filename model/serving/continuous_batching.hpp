// Continuous (iteration-level) batching: a slot is refilled in the step after it became free.
#pragma once
#include <span>

#include "model/serving/request.hpp"
#include "model/units.hpp"

namespace kvroof::serving {

/// Tokens a running request holds on average, seen from the cache. Long outputs stay longer, so the
/// mean is length-biased:
///   s_res = Σ o·(n + o/2) / Σ o
/// The plain mean of n + o/2 is 2.1x too large on the Mooncake synthetic trace.
double resident_length(std::span<const Lengths> requests);

/// Requests that run together:  min(max_num_seqs, pool / s_res).
double effective_batch(double max_num_seqs, Tokens pool, double s_res);

/// Throughput of refilling alone over static batching at equal batch:  1/U_B. Anything above it is
/// memory or kernels, not scheduling (Yu et al., OSDI'22).
double refill_gain(double static_utilisation);

/// Little's law:  N = λ·T.
double requests_in_system(double request_rate, Seconds time_in_system);

/// Mean step seen by one of c requests in a closed loop: while it generates `output` tokens each of
/// the others prefills once between its steps:
///   t_decode + (c − 1)/output · t_prefill
Seconds closed_loop_step(Seconds decode_step, Seconds prefill, double concurrency, double output);

}  // namespace kvroof::serving
