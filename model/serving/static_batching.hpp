// Static batching: B requests start together and leave together, when the longest output ends.
#pragma once
#include <span>

#include "model/serving/request.hpp"
#include "model/units.hpp"

namespace kvroof::serving {

/// H_n = 1 + 1/2 + … + 1/n.
double harmonic(int n);

/// Share of the batch's token slots that hold a live request, exponential output lengths:
///   E[Σ o] / (B · E[max o]) = 1/H_B            (the maximum of B exponentials has mean H_B)
double static_utilisation_exponential(int batch);

/// The same from recorded lengths, batches filled in arrival order; a last, partial batch is
/// left out:
///   U_B = Σ o / (B · Σ over batches of max o)
/// The waste is Orca's argument for iteration-level scheduling (Yu et al., OSDI'22, section 3).
double static_utilisation(std::span<const Lengths> requests, int batch);

/// Mean wait of a request until its batch is full, Poisson arrivals:  (B − 1)/(2λ).
Seconds batch_forming_delay(double request_rate, int batch);

}  // namespace kvroof::serving
