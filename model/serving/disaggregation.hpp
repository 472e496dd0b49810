// Prefill and decode on GPUs of their own: K/V transfer, the prefill queue, how many of each.
// Zhong et al., DistServe (arXiv:2401.09670); Patel et al., Splitwise (arXiv:2311.18677);
// Qin et al., Mooncake (FAST'25).
#pragma once
#include <span>

#include "model/units.hpp"

namespace kvroof::serving {

/// Time to move a prompt's cache:  n·K_t / BW.
Seconds kv_transfer_time(Tokens prompt, BytesPerToken kv, Bandwidth link);

/// What of it a request sees when each layer is sent as soon as it is computed: the last layer, and
/// whatever is longer than the prefill:  T/L + max(0, T − t_prefill).
Seconds visible_transfer(Seconds transfer, Seconds prefill, int n_layers);

/// Mean TTFT of a prefill instance, Poisson arrivals at rate R, every prefill takes D (M/D/1):
///   D + R·D²/(2(1 − R·D))                                        DistServe eq. 1
/// Throws std::domain_error at R·D ≥ 1: the queue grows without bound.
Seconds prefill_ttft(double rate, Seconds service);
/// Two pipeline stages of D/2 each:  D + R·D²/(4(2 − R·D))                      DistServe eq. 2
Seconds prefill_ttft_inter_op(double rate, Seconds service);
/// Cut by tensor parallelism with speedup K:  D/K + R·D²/(2K(K − R·D))          DistServe eq. 3
Seconds prefill_ttft_intra_op(double rate, Seconds service, double speedup);

/// Mean wait before service, any service time (M/G/1, Pollaczek-Khinchine):
///   λ·E[S²] / (2(1 − ρ))
Seconds queue_wait(double rate, std::span<const Seconds> service);

/// Instances needed, as fractions: round up.
///   N_p = λ·E[t_prefill]/ρ        N_d = λ·E[o]·t_step(B)/(B·ρ)
double prefill_instances(double rate, Seconds prefill, double utilisation);
double decode_instances(double rate, double output, Seconds step, double batch, double utilisation);

}  // namespace kvroof::serving
